package sasl

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"altmail.se/altmail/crypto/passwd"
)

// scram runs SCRAM-SHA-256 (RFC 7677), with its own last message as a
// challenge that the client answers by an empty one, because neither SMTP nor
// IMAP carries additional data with success (RFC 4422 section 3).
func (o *Options) scram(plus bool) step {
	var id Identity
	server := passwd.NewScramServer(passwd.ScramConfig{
		Lookup: func(ctx context.Context, user string) (v *passwd.Verifier, err error) {
			v, id, err = o.Auth.Scram(ctx, user)
			if errors.Is(err, ErrCredentials) {
				return nil, passwd.ErrUnknownUser
			}
			return v, err
		},
		FakeSecret:  o.FakeSecret,
		Plus:        plus,
		PlusOffered: o.Binding != nil,
		Binding:     o.Binding,
	})
	last := func(_ context.Context, e *Exchange, msg []byte) ([]byte, step, error) {
		if len(msg) != 0 {
			return nil, nil, ErrMalformed
		}
		e.id = id
		return nil, nil, nil
	}
	var next step
	next = func(ctx context.Context, _ *Exchange, msg []byte) ([]byte, step, error) {
		if msg == nil {
			return []byte{}, next, nil
		}
		out, done, err := server.Next(ctx, msg)
		switch {
		case errors.Is(err, passwd.ErrProtocol):
			return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		case errors.Is(err, passwd.ErrBadCredentials), errors.Is(err, passwd.ErrBinding):
			return nil, nil, fmt.Errorf("%w: %w", ErrCredentials, err)
		case err != nil:
			return nil, nil, err
		case !done:
			return out, next, nil
		}
		// Nobody acts for another here (RFC 5802 section 5.1, "a=").
		if a := server.AuthzID(); a != "" && a != server.Name() {
			return nil, nil, ErrCredentials
		}
		return out, last, nil
	}
	return next
}

// TLSBinding returns the channel bindings of a TLS connection: tls-exporter
// (RFC 9266), and tls-server-end-point (RFC 5929 section 4) if the certificate
// that was served is given.
func TLSBinding(state tls.ConnectionState, served *x509.Certificate) func(name string) ([]byte, bool) {
	return func(name string) ([]byte, bool) {
		switch {
		case name == "tls-exporter" && state.Version >= tls.VersionTLS13:
			b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
			return b, err == nil
		case name == "tls-server-end-point" && served != nil:
			switch served.SignatureAlgorithm {
			case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
				h := sha512.Sum384(served.Raw)
				return h[:], true
			case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
				h := sha512.Sum512(served.Raw)
				return h[:], true
			case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
				return nil, false // no one hash function: not defined
			}
			h := sha256.Sum256(served.Raw)
			return h[:], true
		}
		return nil, false
	}
}
