// Package message indexes the bytes of a mail message without changing one of
// them: where its header and body are, its MIME parts with their offsets, and
// what ENVELOPE and BODYSTRUCTURE of RFC 9051 say of it.
//
// Parse never fails: there are no invalid messages, only ones with less
// structure. It is linear in the size of the message, and bounded in depth and
// in number of parts; what lies beyond is opaque. A Summary is the compact
// binary form of an index (FORMAT.md): it answers ENVELOPE, BODYSTRUCTURE and
// the header fields that mail clients list, without the message.
//
// Offsets count from the first byte of what was parsed. A message may be shown
// with a per-account prefix of trace fields in front of that (Return-Path,
// Delivered-To); a Section says when it begins with the prefix.
//
// Nothing here has state: everything may be used from any goroutine, except
// that an Envelope is scratch space for one user at a time.
package message
