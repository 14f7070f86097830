package store

import "context"

// Person is a user who can be found, with what they are found by.
type Person struct {
	UserID       string
	Name, Avatar *string
	// Folded is the name as it is compared.
	Folded string
	Tokens []string
}

// ForgetPeople removes users, whether or not they are there.
func (tx Tx) ForgetPeople(ctx context.Context, userIDs []string) error {
	err := tx.exec(ctx, "forget what users are found by", `DELETE FROM token
		WHERE user_id = ANY($1)                              -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1))   -- sqlite`, userIDs)
	if err != nil {
		return err
	}
	return tx.exec(ctx, "forget users", `DELETE FROM person
		WHERE user_id = ANY($1)                              -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1))   -- sqlite`, userIDs)
}

// ForgetPeopleOf removes the users of a shard.
func (tx Tx) ForgetPeopleOf(ctx context.Context, shard int) error {
	err := tx.exec(ctx, "forget what users are found by",
		`DELETE FROM token WHERE user_id IN (SELECT user_id FROM person WHERE shard = $1)`, shard)
	if err != nil {
		return err
	}
	return tx.exec(ctx, "forget users", `DELETE FROM person WHERE shard = $1`, shard)
}

// ForgetAllPeople removes all users.
func (tx Tx) ForgetAllPeople(ctx context.Context) error {
	if err := tx.exec(ctx, "forget what users are found by", `DELETE FROM token`); err != nil {
		return err
	}
	return tx.exec(ctx, "forget users", `DELETE FROM person`)
}

// AddPeople adds users of a shard who are not there.
func (tx Tx) AddPeople(ctx context.Context, shard int, people []Person) error {
	var tokens [][]any
	for _, p := range people {
		err := tx.exec(ctx, "add a user", `INSERT INTO person (user_id, shard, name, avatar, folded) VALUES ($1, $2, $3, $4, $5)`,
			p.UserID, shard, p.Name, p.Avatar, p.Folded)
		if err != nil {
			return err
		}
		for _, t := range p.Tokens {
			tokens = append(tokens, []any{t, p.UserID})
		}
	}
	return tx.each(ctx, "add what users are found by", `INSERT INTO token (token, user_id)
		SELECT r->>0, r->>1 FROM json_array_elements($1::text::json) AS r                           -- postgres
		SELECT value->>0, value->>1 FROM json_each($1)                                              -- sqlite
		`, tokens)
}
