package app

import (
	"strings"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	nodepb "hongyan/api/node"
	roompb "hongyan/api/room"
	socialpb "hongyan/api/social"
	syncpb "hongyan/api/sync"
)

// idempotent are the calls between services that may be made again on another instance when one died before it answered:
// reads, and what does nothing the second time, or, as handing out another one-time key, no harm. A step of user-interactive
// authentication is none.
func idempotent(method string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case logpb.Log_ServiceDesc.ServiceName, roompb.Room_ServiceDesc.ServiceName, syncpb.Sync_ServiceDesc.ServiceName,
		keyspb.Keys_ServiceDesc.ServiceName, socialpb.Social_ServiceDesc.ServiceName, gatewaypb.Gateway_ServiceDesc.ServiceName, nodepb.Node_ServiceDesc.ServiceName:
		return true
	}
	switch method {
	case identitypb.Identity_Authenticate_FullMethodName, identitypb.Identity_Profiles_FullMethodName,
		identitypb.Identity_Users_FullMethodName, identitypb.Identity_Devices_FullMethodName:
		return true
	}
	return false
}
