package pack

import (
	"encoding/binary"
	"flag"
	"os"
	"slices"
	"sort"
	"testing"
)

var (
	train = flag.String("train", "", "file of samples (u32 length, bytes) to make lengths.bin from")
	until = flag.Int("rounds", 8, "rounds of training")
)

// TestTrain makes the lengths of a new model: of counts of what the packer
// writes with the model of the round before. It is how lengths.bin was made;
// what has packed anything never changes.
func TestTrain(t *testing.T) {
	if *train == "" {
		t.Skip("no samples named")
	}
	file, err := os.ReadFile(*train)
	if err != nil {
		t.Fatal(err)
	}
	var samples [][]byte
	for len(file) >= 4 {
		n := binary.LittleEndian.Uint32(file)
		samples = append(samples, file[4:4+n])
		file = file[4+n:]
	}
	flat, err := parsePhrases(phraseText)
	if err != nil {
		t.Fatal(err)
	}
	n := symPhrase + len(flat)
	// The first round finds every symbol as dear as the next.
	lengths := make([]byte, contexts*n+distSlots)
	for i := range lengths {
		lengths[i] = 9
	}
	for round := range *until {
		m := new(model)
		m.setPhrases(flat)
		for c := range contexts {
			m.lengths[c] = lengths[c*n : (c+1)*n]
		}
		copy(m.distLengths[:], lengths[contexts*n:])
		var counts [contexts][]int
		for c := range counts {
			counts[c] = make([]int, n)
		}
		var dist [distSlots]int
		p := &packer{m: m}
		bits, raw := 0, 0
		for _, s := range samples {
			if len(s) > Max {
				continue
			}
			p.plan(s)
			bits += int(p.cost[0])
			raw += len(s)
			for i := 0; i < len(s); {
				b := &p.best[i]
				counts[p.ctx[i]][b.sym]++
				if b.dist > 0 {
					slot, _, _ := distSlot(int(b.dist))
					dist[slot]++
				}
				i += int(b.n)
			}
		}
		t.Logf("round %d: %.4f", round, float64(bits)/8/float64(raw))
		next := make([]byte, 0, len(lengths))
		for c := range counts {
			total := 0
			for _, k := range counts[c] {
				total += k
			}
			// What is rarer than one in some thousand escapes.
			rare := 1
			for s, k := range counts[c] {
				if s < symEscape && k*6000 < total {
					rare += k
					counts[c][s] = 0
				} else if s > symEscape && k*12000 < total {
					counts[c][s] = 0
				}
			}
			counts[c][symEscape] += rare + total/300
			// Copies are a way out everywhere.
			for s := symCopy; s < symCopy+slots; s++ {
				counts[c][s] += total/4000 + 1
			}
			next = append(next, huffman(counts[c])...)
		}
		for s := range dist {
			dist[s] += 1
		}
		lengths = append(next, huffman(dist[:])...)
	}
	if err := os.WriteFile("lengths.bin", lengths, 0o644); err != nil {
		t.Fatal(err)
	}
}

// huffman returns the lengths of an optimal code of at most maxBits bits for
// what occurs (package-merge).
func huffman(counts []int) []uint8 {
	type item struct {
		weight  int
		symbols []int
	}
	var leaves []item
	for s, k := range counts {
		if k > 0 {
			leaves = append(leaves, item{k, []int{s}})
		}
	}
	lengths := make([]uint8, len(counts))
	if len(leaves) == 1 {
		lengths[leaves[0].symbols[0]] = 1
		return lengths
	}
	sort.SliceStable(leaves, func(i, j int) bool { return leaves[i].weight < leaves[j].weight })
	row := leaves
	for range maxBits - 1 {
		var merged []item
		for i := 0; i+1 < len(row); i += 2 {
			merged = append(merged, item{row[i].weight + row[i+1].weight, slices.Concat(row[i].symbols, row[i+1].symbols)})
		}
		row = append(slices.Clone(leaves), merged...)
		sort.SliceStable(row, func(i, j int) bool { return row[i].weight < row[j].weight })
	}
	for _, it := range row[:2*len(leaves)-2] {
		for _, s := range it.symbols {
			lengths[s]++
		}
	}
	return lengths
}
