// Package outbound makes HTTP requests to addresses that strangers name, without letting them reach what only this server reaches:
// its own machine, its neighbours, the metadata service of a cloud.
//
// An address is judged when it is dialled, so that neither a redirect nor a name that resolves to something else the second time
// gets around it. What comes back is bounded in every respect: how long it takes, how often it redirects, how large its headers
// and its body are, before and after decompression, and how many requests there are at once. No setting of the environment, such
// as a proxy, has a part in it, and connections are not kept.
package outbound
