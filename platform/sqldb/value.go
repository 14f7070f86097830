package sqldb

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// toDriver turns an argument into one of the values that SQLite's driver takes.
func toDriver(arg any) (driver.Value, error) {
	switch v := arg.(type) {
	case nil:
		return nil, nil
	case int64:
		return v, nil
	case string:
		return v, nil
	case []byte:
		if v != nil && len(v) == 0 {
			return "", nil // the driver would write NULL
		}
		return v, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case int:
		return int64(v), nil
	case float64:
		return v, nil
	case []int64, []string:
		return toJSONArray(v)
	case driver.Valuer:
		return v.Value()
	}
	return reflectToDriver(reflect.ValueOf(arg))
}

func reflectToDriver(v reflect.Value) (driver.Value, error) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return toDriver(v.Elem().Interface())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(v.Uint()), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return toDriver(v.Bool())
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.Uint8:
			return toDriver(v.Bytes())
		case reflect.String, reflect.Int, reflect.Int64:
			return toJSONArray(v.Interface())
		}
	}
	return nil, fmt.Errorf("argument of type %s is not supported", v.Type())
}

func toJSONArray(v any) (driver.Value, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if string(b) == "null" {
		return "[]", nil
	}
	return string(b), nil
}

// scanInto copies a value of SQLite's driver into what dest points to.
func scanInto(src driver.Value, dest any) error {
	switch d := dest.(type) {
	case *int64:
		if v, ok := src.(int64); ok {
			*d = v
			return nil
		}
	case *int:
		if v, ok := src.(int64); ok {
			*d = int(v)
			return nil
		}
	case *string:
		switch v := src.(type) {
		case string:
			*d = v
			return nil
		case []byte:
			*d = string(v)
			return nil
		}
	case *[]byte:
		switch v := src.(type) {
		case []byte:
			*d = v
			return nil
		case string:
			*d = []byte(v)
			return nil
		case nil:
			*d = nil
			return nil
		}
	case *bool:
		if v, ok := src.(int64); ok {
			*d = v != 0
			return nil
		}
	case *any:
		*d = src
		return nil
	case sql.Scanner:
		return d.Scan(src)
	}
	return reflectScan(src, reflect.ValueOf(dest))
}

func reflectScan(src driver.Value, dest reflect.Value) error {
	if dest.Kind() != reflect.Pointer || dest.IsNil() {
		return fmt.Errorf("scan into %s: want a pointer", dest.Type())
	}
	dest = dest.Elem()
	if dest.Kind() == reflect.Pointer {
		if src == nil {
			dest.SetZero()
			return nil
		}
		dest.Set(reflect.New(dest.Type().Elem()))
		return scanInto(src, dest.Interface())
	}
	switch v := src.(type) {
	case int64:
		if setInt(dest, v) {
			return nil
		}
	case float64:
		if dest.CanFloat() {
			dest.SetFloat(v)
			return nil
		}
	case string:
		if setText(dest, v) {
			return nil
		}
	case []byte:
		if setText(dest, string(v)) {
			return nil
		}
	case nil:
		if dest.Kind() == reflect.Slice {
			dest.SetZero()
			return nil
		}
	}
	return fmt.Errorf("scan %T into %s is not possible", src, dest.Type())
}

func setInt(dest reflect.Value, v int64) bool {
	switch {
	case dest.CanInt():
		if dest.OverflowInt(v) {
			return false
		}
		dest.SetInt(v)
	case dest.CanUint():
		if v < 0 || dest.OverflowUint(uint64(v)) {
			return false
		}
		dest.SetUint(uint64(v))
	case dest.CanFloat():
		dest.SetFloat(float64(v))
	case dest.Kind() == reflect.Bool:
		dest.SetBool(v != 0)
	case dest.Kind() == reflect.String:
		dest.SetString(strconv.FormatInt(v, 10))
	default:
		return false
	}
	return true
}

func setText(dest reflect.Value, v string) bool {
	switch {
	case dest.Kind() == reflect.String:
		dest.SetString(v)
	case dest.Kind() == reflect.Slice && dest.Type().Elem().Kind() == reflect.Uint8:
		dest.SetBytes([]byte(v))
	default:
		return false
	}
	return true
}
