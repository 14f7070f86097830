-- +goose Up
-- Transaction ids of messages to devices now expire by themselves. Before, their scopes began with the period of three days in which they
-- were used, to_device|00006852|@user:server|…, and each had a row for its period and one for the period before.
INSERT INTO keys_txn (scope, id, response, expires)
SELECT 'to_device' || substr(scope, 19), id, response, max(CAST(substr(scope, 11, 8) AS BIGINT) + 2) * 259200000
FROM keys_txn WHERE scope >= 'to_device|0' AND scope < 'to_device|:' GROUP BY 1, 2, 3
ON CONFLICT (scope, id) DO NOTHING;
DELETE FROM keys_txn WHERE scope >= 'to_device|0' AND scope < 'to_device|:';
