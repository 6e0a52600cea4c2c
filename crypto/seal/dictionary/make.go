//go:build ignore

// Make writes the dictionary that small chunks are compressed with: the
// phrases, and the statistics of sample messages of which nothing else is kept.
//
//	go run make.go phrases.txt 1.zdict samples/*
//
// A dictionary that has sealed anything never changes; a better one gets the
// next number.
package main

import (
	"fmt"
	"os"

	"github.com/klauspost/compress/zstd"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	history, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var samples [][]byte
	for _, name := range os.Args[3:] {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		samples = append(samples, b)
	}
	d, err := zstd.BuildDict(zstd.BuildDictOptions{
		// Numbers from 32768 on are for private use (RFC 8878 section 5).
		ID:       1 << 15,
		Contents: samples,
		History:  history,
		Offsets:  [3]int{1, 4, 8},
		Level:    zstd.SpeedFastest,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(os.Args[2], d, 0o644)
}
