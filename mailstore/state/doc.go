// Package state holds the deterministic state machines of the mail store: Mail
// (one per mail group) and Directory (group 0). They execute committed
// commands in order, keep their rows in one Pebble database per node, and
// answer readers from consistent snapshots.
//
// What a machine decides depends on nothing but its rows and the entry: it
// reads no clock, no random source, no other group and no body, and a test
// keeps the imports that way. FORMAT.md draws the key space and the rows;
// DESIGN.md tells why they are so.
package state
