package seal

import (
	_ "embed"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// level is the zstd level; DESIGN.md has the measurements behind it.
const level = zstd.SpeedFastest

// The dictionary that small chunks are compressed with. Frozen: a better one
// gets the next number and is another file, and this one stays to open what it
// sealed. A frame names the dictionary it needs, the head the one of the body.
//
//go:embed dictionary/1.zdict
var dictionary []byte

const (
	// dictNumber is the dictionary in use, as the head says it.
	dictNumber = 1
	// dictMax is the longest chunk that the dictionary is used for: it takes
	// a fixed time to load, and a long chunk is its own.
	dictMax = 16 << 10
)

// The codecs hold one state per core: more callers at once wait for one,
// which bounds the memory.
var (
	encoder      = sync.OnceValue(func() *zstd.Encoder { return newEncoder(level, runtime.GOMAXPROCS(0)) })
	smallEncoder = sync.OnceValue(func() *zstd.Encoder {
		return newEncoder(level, runtime.GOMAXPROCS(0), zstd.WithEncoderDict(dictionary))
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
			zstd.WithDecoderMaxMemory(ChunkSize),
			zstd.WithDecoderMaxWindow(ChunkSize),
			zstd.WithDecoderDicts(dictionary),
			// Nothing ever yields more than the room it is given.
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(fmt.Sprintf("seal: zstd decoder options: %v", err))
		}
		return d
	})
)

func newEncoder(l zstd.EncoderLevel, n int, more ...zstd.EOption) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, append(more,
		zstd.WithEncoderLevel(l),
		// Literals alone often save more than matches do.
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithEncoderConcurrency(n),
		zstd.WithWindowSize(ChunkSize),
		zstd.WithSingleSegment(true),
		// The seal authenticates; a checksum would be four bytes for nothing.
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))...)
	if err != nil {
		panic(fmt.Sprintf("seal: zstd encoder options: %v", err))
	}
	return e
}

// compress appends the stored form of a chunk to dst: base64 folded, and then
// compressed where that saves a sixty-fourth.
func compress(dst, plain []byte) (out []byte, method int) {
	room := foldRoom.Get().(*[]byte)
	defer foldRoom.Put(room)
	if folded, ok := fold((*room)[:0], plain); ok {
		*room, plain, method = folded, folded, methodFold
	}
	if !random(plain) {
		e := encoder()
		if len(plain) <= dictMax {
			e = smallEncoder()
		}
		out = e.EncodeAll(plain, dst)
		if len(out)-len(dst) < len(plain)-len(plain)/64 {
			return out, method | methodZstd
		}
	}
	return append(dst, plain...), method
}

// random reports whether bytes look like ones that do not compress, from a
// sample: trying takes ten times as long.
func random(b []byte) bool {
	const (
		samples = 32
		each    = 128
	)
	if len(b) < 2*samples*each {
		return false
	}
	var count [256]uint32
	for i := range samples {
		at := i * (len(b) - each) / (samples - 1)
		for _, c := range b[at : at+each] {
			count[c]++
		}
	}
	// The chance that two bytes are the same is 1/256 for noise. Letters of
	// base64, or text at one end of the chunk, bring it far above.
	same := uint32(0)
	for _, n := range count {
		same += n * n
	}
	const n = samples * each
	return same < n+n*n/256+n*n/256/16
}

// decodeSlack is the room behind its output that lets the decoder copy in
// whole words and never move the output elsewhere.
const decodeSlack = 64

// expand appends the n bytes of a chunk, from its stored form, to dst.
func expand(dst, packed []byte, method, n int) ([]byte, error) {
	if method == methodRaw {
		return append(dst, packed...), nil
	}
	if method&methodFold == 0 {
		return decompress(dst, packed, n, n)
	}
	if method&methodZstd != 0 {
		room := foldRoom.Get().(*[]byte)
		defer foldRoom.Put(room)
		folded, err := decompress((*room)[:0], packed, 0, n-1)
		*room = folded
		if err != nil {
			return dst, err
		}
		packed = folded
	}
	start := len(dst)
	dst, ok := unfold(dst, packed, n)
	if !ok {
		return dst[:start], fmt.Errorf("%w: folded chunk", ErrDamaged)
	}
	return dst, nil
}

// decompress appends at least least and at most most bytes to dst.
func decompress(dst, packed []byte, least, most int) ([]byte, error) {
	start := len(dst)
	dst = grow(dst, most+decodeSlack)
	out, err := decoder().DecodeAll(packed, dst[start:start:start+most+decodeSlack])
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	n := len(out)
	if n < least || n > most {
		return dst, fmt.Errorf("%w: chunk of another length", ErrDamaged)
	}
	if n == 0 || &out[0] == &dst[:start+1][start] {
		return dst[:start+n], nil
	}
	return append(dst, out...), nil
}
