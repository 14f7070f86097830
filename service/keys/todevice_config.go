package keys

import "fmt"

// ToDeviceConfig bounds messages to devices.
type ToDeviceConfig struct {
	// QueueMessages is how many messages may wait for a device, QueueBytes how large they may be together. Both are exceeded
	// a little between two measurements: see bound.
	QueueMessages int   `yaml:"queue_messages"`
	QueueBytes    int64 `yaml:"queue_bytes"`
	// MessageBytes is how large one message may be.
	MessageBytes int `yaml:"message_bytes"`
	// RequestUsers is to how many users one request may send messages, RequestMessages how many messages, RequestBytes how large they may be together when
	// each device has its own.
	RequestUsers    int `yaml:"request_users"`
	RequestMessages int `yaml:"request_messages"`
	RequestBytes    int `yaml:"request_bytes"`
}

func defaultToDevice() ToDeviceConfig {
	return ToDeviceConfig{
		QueueMessages: 20_000, QueueBytes: 64 << 20, MessageBytes: 64 << 10, RequestUsers: 2500, RequestMessages: 10_000, RequestBytes: 16 << 20,
	}
}

func (c ToDeviceConfig) validate() error {
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"queue_messages", int64(c.QueueMessages)}, {"queue_bytes", c.QueueBytes}, {"message_bytes", int64(c.MessageBytes)},
		{"request_users", int64(c.RequestUsers)}, {"request_messages", int64(c.RequestMessages)}, {"request_bytes", int64(c.RequestBytes)},
	} {
		if v.value < 1 {
			return fmt.Errorf("keys: to_device.%s must be positive", v.name)
		}
	}
	if c.QueueBytes < int64(c.MessageBytes) {
		return fmt.Errorf("keys: to_device.queue_bytes must be at least to_device.message_bytes, %d", c.MessageBytes)
	}
	return nil
}
