package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/frontend/admin/adminpb"
)

func TestHoldingOf(t *testing.T) {
	all := map[string]float64{
		"altmail_body_bodies": 7, "altmail_body_live_bytes": 900, "altmail_body_whole.0": 1, "altmail_body_whole.1": 1,
		"altmail_raft_applied_index.0": 4, "altmail_raft_applied_index.1": 5, "altmail_raft_commit_index.0": 4, "altmail_raft_commit_index.1": 6,
		"go_threads": 3,
	}
	of := func(change map[string]float64, without string) (load.Holding, error) {
		stats := maps.Clone(all)
		maps.Copy(stats, change)
		delete(stats, without)
		var s []*adminpb.StatsResponse_Stat
		for k, v := range stats {
			s = append(s, &adminpb.StatsResponse_Stat{Name: k, Value: v})
		}
		return holdingOf(s)
	}
	h, err := of(nil, "")
	if err != nil || h.Bodies != 7 || h.Bytes != 900 || !h.Whole || h.Applied[1] != 5 || h.Commit[1] != 6 || len(h.Applied) != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	if h, err := of(map[string]float64{"altmail_body_whole.1": 0}, ""); err != nil || h.Whole {
		t.Errorf("a group that is not whole: %+v, %v", h, err)
	}
	if _, err := of(nil, "altmail_body_bodies"); err == nil {
		t.Error("statistics of an older version pass for those of an empty node")
	}
}

func TestGrowthPoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growth.json")
	if ps, err := readPoints(path); err != nil || ps != nil {
		t.Errorf("none yet: %v, %v", ps, err)
	}
	want := []load.GrowthPoint{{Stage: load.GrowthStage{Messages: 5, Accounts: 2}, First: 1.5}}
	if err := writePoints(path, want); err != nil {
		t.Fatal(err)
	}
	if ps, err := readPoints(path); err != nil || len(ps) != 1 || ps[0].First != 1.5 || ps[0].Stage != want[0].Stage {
		t.Errorf("%+v, %v", ps, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPoints(path); exitCode(err) != exitData {
		t.Errorf("damaged: %v", err)
	}
	if err := writePoints("", want); err != nil {
		t.Error(err)
	}
}

// TestShellAbsences: the commands learn which node is meant, and one that fails
// says so.
func TestShellAbsences(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	n := &shellAbsences{stop: "echo stop $NODE >>" + out, start: "echo start $NODE >>" + out + "; exit 3"}
	if err := n.Stop(t.Context(), 4); err != nil {
		t.Error(err)
	}
	if err := n.Start(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "node 5") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "stop 4\nstart 5\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestBenchGrowthUsage(t *testing.T) {
	for _, args := range []string{
		"bench growth",
		"bench growth --demo --messages 5",
		"bench growth --demo --from-accounts 0",
		"bench backfill --smtp 127.0.0.1:1",
		"bench backfill --demo --nodes 0",
		"bench backfill --demo --mix spam",
	} {
		var stdout, stderr bytes.Buffer
		if got := run(context.Background(), strings.Fields(args), strings.NewReader(""), &stdout, &stderr); got != exitUsage || stderr.Len() == 0 {
			t.Errorf("altmail %s: exit code %d: %s", args, got, stderr.String())
		}
	}
}
