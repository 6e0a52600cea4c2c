package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics gathers the counters of all rooms when asked. Names are
// altmail_<part>_<thing>_<unit>; no label names an account.
func (n *nodeProc) metrics() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{n})
	return r
}

type collector struct{ n *nodeProc }

// Describe sends nothing: the metrics are unchecked, made on each Collect.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(name, help string, v float64, labels ...string) {
		c.send(ch, prometheus.GaugeValue, name, help, v, labels)
	}
	count := func(name, help string, v uint64, labels ...string) {
		c.send(ch, prometheus.CounterValue, name, help, float64(v), labels)
	}
	gauge("altmail_build_info", "1, with the version as a label.", 1, "version", version, "go", runtime.Version())
	for _, r := range c.n.node.Replicas() {
		g := groupText(r.ID())
		rep := r.Report()
		gauge("altmail_raft_has_leader", "1 when this node knows the group's leader.", truth(rep.Leader != ""), "group", g)
		gauge("altmail_raft_leads", "1 when this node leads the group.", truth(rep.Leads), "group", g)
		gauge("altmail_raft_term", "The group's term.", float64(rep.Term), "group", g)
		gauge("altmail_raft_commit_index", "Newest committed entry known here.", float64(rep.Commit), "group", g)
		gauge("altmail_raft_applied_index", "Newest entry applied here.", float64(rep.Applied), "group", g)
		gauge("altmail_raft_log_entries", "Entries in the log.", float64(rep.Last-min(rep.Last, rep.First)), "group", g)
		gauge("altmail_body_whole", "1 when this node holds every body of the group.", truth(rep.Whole), "group", g)
	}
	b := c.n.bodies.Stats()
	count("altmail_body_puts_total", "Bodies stored.", b.Puts)
	count("altmail_body_syncs_total", "Syncs of body segments.", b.Syncs)
	gauge("altmail_body_bodies", "Bodies on this node.", float64(b.Bodies))
	gauge("altmail_body_live_bytes", "Octets of bodies that are not known to be dead.", float64(b.LiveBytes))
	gauge("altmail_body_disk_bytes", "Size of the body segments.", float64(b.DiskBytes))
	gauge("altmail_body_missing", "Bodies known to be missing here.", float64(b.Missing))
	count("altmail_body_pulled_bytes_total", "Octets of bodies fetched from other nodes.", b.PulledBytes)
	count("altmail_body_backfilled_total", "Bodies fetched because they were missing here.", b.Backfilled)
	j := c.n.journal.Stats()
	count("altmail_journal_syncs_total", "Synced writes of the journal.", j.Syncs)
	count("altmail_journal_records_total", "Records written to the journal.", j.Records)
	count("altmail_journal_written_bytes_total", "Octets written to the journal.", j.Bytes)
	count("altmail_journal_waits_total", "Times that the journal was full and waited for an owner.", j.Waits)
	gauge("altmail_journal_held_bytes", "Octets of records that are not in their own files yet.", float64(j.Held))
	m := c.n.db.Metrics()
	gauge("altmail_state_disk_bytes", "Size of the state database.", float64(m.DiskSpaceUsage()))
	x := c.n.search.Stats()
	count("altmail_search_queries_total", "Texts that the search index looked for.", x.Searches)
	count("altmail_search_skipped_total", "Texts that were looked for by reading, which was less work.", x.Skipped)
	count("altmail_search_failed_total", "Parts of the search index that could not be read.", x.Failed)
	count("altmail_search_indexed_total", "Messages indexed.", x.Indexed)
	count("altmail_search_merged_total", "Segments of the search index made of others.", x.Merged)
	count("altmail_search_rewritten_total", "Segments rewritten without what was deleted, or under a new key.", x.Rewritten)
	count("altmail_search_dropped_total", "Segments that were damaged or of another version, to be made again.", x.Dropped)
	gauge("altmail_search_behind_messages", "Messages seen that are not indexed yet.", float64(x.Behind))
	gauge("altmail_search_segments", "Segments of the search index.", float64(x.Segments))
	gauge("altmail_search_disk_bytes", "Size of the search index.", float64(x.Bytes))
	cache := c.n.auth.CacheStats()
	count("altmail_auth_cache_hits_total", "Logins answered from memory.", cache.Hits)
	count("altmail_auth_cache_misses_total", "Logins that derived a password.", cache.Misses)
	t := c.n.throttle.Stats()
	gauge("altmail_auth_throttle_places", "Places that failed logins are remembered of.", float64(t.Places))
	count("altmail_auth_throttle_delayed_total", "Attempts to log in that had to pause.", t.Delayed)
	count("altmail_auth_throttle_refused_total", "Attempts to log in that were refused unseen.", t.Refused)
	gauge("altmail_imap_sessions", "IMAP connections open.", float64(len(c.n.imap.Sessions())))
	p := c.n.port.Stats()
	gauge("altmail_transport_connections", "Connections between nodes.", float64(p.Open))
	count("altmail_transport_refused_total", "Connections of other nodes that were refused.", p.Refused)
}

func (c *collector) send(ch chan<- prometheus.Metric, t prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), t, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc(name, help, nil, nil), err)
	}
	ch <- m
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
