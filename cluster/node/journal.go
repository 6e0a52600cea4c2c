package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster/journal"
)

// JournalDir is where a node keeps its journal.
func JournalDir(dataDir string) string { return filepath.Join(dataDir, "journal") }

// damagedJournal is where one that can't be trusted is put aside.
func damagedJournal(dataDir string) string { return JournalDir(dataDir) + ".damaged" }

// OpenJournal opens the journal of the node in dataDir, or makes it. It comes
// before the groups and the body store, which redo their records when they are
// opened; Settle follows, when all are. fatal must end the process.
//
// A damaged journal may lack entries of any group, so that this node must not
// vote in any again as the member it was (replication-hazards 25): it is put
// aside, and the groups' logs, which know which journal they go with, find
// themselves damaged and are entered anew.
func OpenJournal(dataDir string, fatal func(error), log *slog.Logger) (*journal.Journal, error) {
	o := journal.Options{Fatal: fatal, Logger: log}
	j, err := journal.Open(vfs.Default, JournalDir(dataDir), o)
	if !errors.Is(err, journal.ErrDamaged) {
		return j, err
	}
	log.Error("the journal is damaged; this node enters its groups anew", "err", err)
	if err := ForgetDamaged(dataDir); err != nil {
		return nil, err
	}
	if err := os.Rename(JournalDir(dataDir), damagedJournal(dataDir)); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return journal.Open(vfs.Default, JournalDir(dataDir), o)
}

// ForgetDamaged removes a journal that was put aside: what it holds must leave
// the disk, too.
func ForgetDamaged(dataDir string) error {
	if err := os.RemoveAll(damagedJournal(dataDir)); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}
