package auth

import (
	"hongyan/matrix"
	"hongyan/matrix/event"
)

// powerLevelsAllowed is the rule for m.room.power_levels: nobody gives or takes more power than
// they have. level is the sender's.
func powerLevelsAllowed(e *event.Event, create *Create, current *PowerLevels, level int64) error {
	next, err := ParsePowerLevels(create, e.Content())
	if err != nil {
		return forbidden("%s", matrix.AsError(err).Message)
	}
	for _, creator := range create.Creators {
		if _, ok := next.users[creator]; ok {
			return forbidden("The power levels must not list %s, who created the room.", creator)
		}
	}
	if current.noEvent {
		return nil
	}
	if err := checkSingleLevels(current, next, level); err != nil {
		return err
	}
	if err := checkEntries("events", current.events, next.events, level); err != nil {
		return err
	}
	if create.Rules.NotificationLevels {
		if err := checkEntries("notifications", current.notifications, next.notifications, level); err != nil {
			return err
		}
	}
	return checkUsers(e.Sender(), current.users, next.users, level)
}

// checkSingleLevels compares the properties which hold one level each. One that was added or
// removed had, or has now, its default.
func checkSingleLevels(current, next *PowerLevels, level int64) error {
	for i, name := range levelNames {
		before, after := *current.level(i), *next.level(i)
		bit := levelSet(1) << i
		if before == after && current.present&bit == next.present&bit {
			continue
		}
		if before > level || after > level {
			return cannotChange(name, before, after, level)
		}
	}
	return nil
}

// checkEntries compares "events" or "notifications": what was changed or removed must not have
// been above the sender's level, what was added or changed must not be.
func checkEntries(name string, current, next map[string]int64, level int64) error {
	for key, before := range current {
		if after, ok := next[key]; (!ok || after != before) && before > level {
			return cannotChange(name+"."+shorten(key), before, after, level)
		}
	}
	for key, after := range next {
		if before, ok := current[key]; (!ok || before != after) && after > level {
			return cannotChange(name+"."+shorten(key), before, after, level)
		}
	}
	return nil
}

// checkUsers compares "users": others whose level was changed or removed must have been below the
// sender, and nobody is raised above.
func checkUsers(sender matrix.UserID, current, next map[matrix.UserID]int64, level int64) error {
	for user, before := range current {
		if after, ok := next[user]; (!ok || after != before) && user != sender && before >= level {
			return cannotChange("users."+string(user), before, after, level)
		}
	}
	for user, after := range next {
		if before, ok := current[user]; (!ok || before != after) && after > level {
			return cannotChange("users."+string(user), before, after, level)
		}
	}
	return nil
}

func cannotChange(name string, before, after, level int64) error {
	return forbidden("You cannot change %s from %d to %d with power level %d.", name, before, after, level)
}
