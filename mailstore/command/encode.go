package command

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"altmail.se/altmail/mailstore/command/commandpb"
)

// Level is the newest feature level this build understands. A command carries
// the level a machine needs to execute it; a machine that meets a higher one
// stops rather than guess (R22).
const Level = 1

var (
	// ErrMalformed: the bytes are no command, in this version or any other.
	ErrMalformed = errors.New("command: malformed")
	// ErrLevel: the command is of a later version. The machine must stop.
	ErrLevel = errors.New("command: of a later version than this build")
	// ErrInvalid: the command breaks a bound of Validate.
	ErrInvalid = errors.New("command: invalid")
)

// Deterministic so that a retry built from the same values has the same bytes.
// No message has a map, so fields are written in the order of their numbers;
// the golden bytes in testdata pin that.
var marshal = proto.MarshalOptions{Deterministic: true}

// Encode validates c and returns its bytes. A zero level is set to the lowest
// that can execute it.
func Encode(c *commandpb.Command) ([]byte, error) {
	if c.GetLevel() == 0 && c != nil {
		c.Level = 1
	}
	if err := Validate(c); err != nil {
		return nil, err
	}
	b, err := marshal.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("command: encode: %w", err)
	}
	return b, nil
}

var unmarshal = proto.UnmarshalOptions{DiscardUnknown: true}

// Decode parses a command. It does not validate: an ErrMalformed command is
// malformed for every version, an ErrLevel one is for a later version.
func Decode(b []byte) (*commandpb.Command, error) {
	c := new(commandpb.Command)
	if err := unmarshal.Unmarshal(b, c); err != nil {
		return nil, ErrMalformed
	}
	if c.Level > Level {
		return nil, fmt.Errorf("%w: level %d, this build has %d", ErrLevel, c.Level, Level)
	}
	// An unknown field at a known level, however deep, is an operation or an
	// argument of a later version whose author forgot the level: executing the
	// rest would make replicas differ. Encode writes nothing that decodes to
	// fewer bytes.
	if proto.Size(c) != len(b) {
		return nil, fmt.Errorf("%w: unknown operation or field", ErrLevel)
	}
	if c.Op == nil {
		return nil, ErrMalformed
	}
	return c, nil
}

// EncodeResult returns the bytes of a result, the same on every node.
func EncodeResult(r *commandpb.Result) ([]byte, error) {
	b, err := marshal.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("command: encode result: %w", err)
	}
	return b, nil
}

// DecodeResult parses what a machine answered.
func DecodeResult(b []byte) (*commandpb.Result, error) {
	r := new(commandpb.Result)
	if err := proto.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: result", ErrMalformed)
	}
	return r, nil
}
