// Package pushrules decides which events notify a user (client-server API, "Push Notifications"):
// the predefined rules, the rules that users add, the changes that clients make to them, and
// their evaluation.
//
// What is stored of a user is Rules: the rules they added and what they changed of the predefined
// ones, which are merged in when read, so that a new predefined rule reaches everybody. For
// evaluation a user's Rules are compiled once, and an event is prepared once for all its readers.
//
// Besides the predefined rules of the specification there are those that version 1.17 removed,
// contains_display_name, contains_user_name and roomnotif: clients without intentional mentions
// depend on them. They only see events without m.mentions.
package pushrules
