package room

import (
	"context"
	"errors"
	"math"
	"net/http"

	"hongyan/api/identity"
	"hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/room/internal/store"
)

const (
	// maxReason bounds the reason of a report, in bytes; maxReports how many of a user's are kept, the newest.
	maxReason  = 2000
	maxReports = 1000
	// maxReportPage bounds one page of reports.
	maxReportPage = 500
)

// reportBindings are the routes by which users report.
func (s *Service) reportBindings() []httpx.Binding {
	post := func(path, key string, h httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{
			Route: httpx.Route{
				Method: http.MethodPost, Path: "/_matrix/client/v3" + path, Key: key, Limit: httpx.LimitRoom, Idempotent: true,
			},
			Handler: h,
		}
	}
	return []httpx.Binding{
		post("/rooms/{roomId}/report", roomKey, s.reportRoom),
		post("/rooms/{roomId}/report/{eventId}", roomKey, s.reportEvent),
		post("/users/{userId}/report", httpx.KeyUser, s.reportUser),
	}
}

// reportRoom is POST /rooms/{roomId}/report. It does not tell whether there is the room.
func (s *Service) reportRoom(w http.ResponseWriter, r *http.Request) error {
	q, reason, err := readReport(r, true)
	if err != nil {
		return err
	}
	v, err := s.reads.open(r.Context(), q.room, q.UserID)
	if err != nil {
		return err
	}
	return s.report(w, q, store.Report{RoomID: q.room, Reason: reason}, v != nil)
}

// reportEvent is POST /rooms/{roomId}/report/{eventId}, for members who may see the event.
func (s *Service) reportEvent(w http.ResponseWriter, r *http.Request) error {
	q, reason, err := readReport(r, false)
	if err != nil {
		return err
	}
	v, _, err := s.openRoom(r)
	if err != nil {
		return err
	}
	if v == nil || !v.joined() {
		return errNoEvent()
	}
	e, err := s.reads.visibleEvent(r.Context(), v, r.PathValue("eventId"))
	if err != nil {
		return err
	}
	return s.report(w, q, store.Report{RoomID: q.room, EventID: e.ID, UserID: string(e.event.Sender()), Reason: reason}, true)
}

// reportUser is POST /users/{userId}/report. It does not tell whether there is the user.
func (s *Service) reportUser(w http.ResponseWriter, r *http.Request) error {
	q, reason, err := readReport(r, true)
	if err != nil {
		return err
	}
	user, err := matrix.ParseUserID(r.PathValue("userId"))
	if err != nil {
		return err
	}
	found, err := s.deps.Identity.Users(r.Context(), &identitypb.UsersRequest{UserIds: []string{string(user)}})
	if err != nil {
		return matrix.Unavailable(err)
	}
	return s.report(w, q, store.Report{UserID: string(user), Reason: reason}, len(found.GetUsers()) > 0)
}

// readReport reads the caller, the room if there is one, and the reason.
func readReport(r *http.Request, needed bool) (request, string, error) {
	q, err := readRequest(r)
	if err != nil {
		return q, "", err
	}
	body, err := readBody[struct {
		Reason *string `json:"reason"`
	}](r)
	switch {
	case err != nil:
		return q, "", err
	case body.Reason == nil && needed:
		return q, "", matrix.NewError(matrix.CodeMissingParam, "reason is missing. It may be empty.")
	case body.Reason == nil:
		return q, "", nil
	case len(*body.Reason) > maxReason:
		return q, "", matrix.Errorf(matrix.CodeInvalidParam, "reason may have %d bytes.", maxReason)
	}
	return q, *body.Reason, nil
}

// report stores a report of what is there, once, and answers.
func (s *Service) report(w http.ResponseWriter, q request, report store.Report, there bool) error {
	if there {
		report.Reporter, report.ReceivedMS = q.UserID, s.now()
		err := s.store.Exec(q.http.Context(), store.AddReport(report, maxReports), once.Txns(once.Answered(q.http)))
		var again *eventlog.DuplicateTxnError
		if err != nil && !errors.As(err, &again) {
			return matrix.Unavailable(err)
		}
	}
	httpx.WriteRawJSON(w, http.StatusOK, noAnswer())
	return nil
}

// moderationServer is what the operator of the machine may call: hongyan.room.v1.Moderation.
type moderationServer struct {
	roompb.UnimplementedModerationServer
	s *Service
}

// ListReports lists reports, the newest first.
func (m moderationServer) ListReports(ctx context.Context, req *roompb.ListReportsRequest) (*roompb.ListReportsResponse, error) {
	limit := int(req.GetLimit())
	if limit < 1 || limit > maxReportPage {
		limit = maxReportPage
	}
	before := req.GetBefore()
	if before < 1 {
		before = math.MaxInt64
	}
	reports, err := m.s.store.Reports(ctx, before, limit)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	resp := &roompb.ListReportsResponse{}
	for _, r := range reports {
		resp.Reports = append(resp.Reports, &roompb.Report{
			Id: r.ID, ReceivedMs: r.ReceivedMS, Reporter: r.Reporter, RoomId: r.RoomID, EventId: r.EventID, UserId: r.UserID, Reason: r.Reason,
			Gone: r.Gone,
		})
	}
	return resp, nil
}
