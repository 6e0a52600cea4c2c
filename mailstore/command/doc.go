// Package command is the schema of what the mail store writes to its log:
// versioned commands, their results, and their encoding.
package command
