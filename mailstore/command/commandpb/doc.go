// Package commandpb holds what Raft entries carry, made from command.proto;
// package command encodes and checks it.
package commandpb
