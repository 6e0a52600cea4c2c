package seal

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// level is the zstd level; DESIGN.md has the measurements behind it.
const level = zstd.SpeedFastest

// The codecs hold one state per core: more callers at once wait for one,
// which bounds the memory.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		return newEncoder(level, runtime.GOMAXPROCS(0))
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
			zstd.WithDecoderMaxMemory(ChunkSize),
			zstd.WithDecoderMaxWindow(ChunkSize),
			// Nothing ever yields more than the room it is given.
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(fmt.Sprintf("seal: zstd decoder options: %v", err))
		}
		return d
	})
)

func newEncoder(l zstd.EncoderLevel, n int) *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(l),
		// Base64 has no matches, but a quarter of each byte is empty.
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithEncoderConcurrency(n),
		zstd.WithWindowSize(ChunkSize),
		zstd.WithSingleSegment(true),
		// The seal authenticates; a checksum would be four bytes for nothing.
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(fmt.Sprintf("seal: zstd encoder options: %v", err))
	}
	return e
}

// compress appends plain to dst, compressed where that saves a sixty-fourth.
func compress(dst, plain []byte) (out []byte, method int) {
	out = encoder().EncodeAll(plain, dst)
	if len(out)-len(dst) < len(plain)-len(plain)/64 {
		return out, methodZstd
	}
	return append(out[:len(dst)], plain...), methodRaw
}

// decodeSlack is the room behind its output that lets the decoder copy in
// whole words and never move the output elsewhere.
const decodeSlack = 64

// decompress appends exactly n bytes to dst.
func decompress(dst, packed []byte, n int) ([]byte, error) {
	start := len(dst)
	dst = grow(dst, n+decodeSlack)
	out, err := decoder().DecodeAll(packed, dst[start:start:start+n+decodeSlack])
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(out) != n {
		return dst, fmt.Errorf("%w: chunk of another length", ErrDamaged)
	}
	if n == 0 || &out[0] == &dst[:start+1][start] {
		return dst[:start+n], nil
	}
	return append(dst, out...), nil
}
