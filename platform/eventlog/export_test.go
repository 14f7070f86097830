package eventlog

// CutHead is tested by itself: no database can be made to return a union's rows in another order.
var CutHead = cutHead
