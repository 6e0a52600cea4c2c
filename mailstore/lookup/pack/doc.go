// Package pack makes the plaintext of a summary smaller before it is sealed:
// header lines of a few hundred bytes, millions of them, each opened alone.
// FORMAT.md draws the bytes.
package pack
