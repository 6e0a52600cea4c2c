//go:build unsealed_log

package logstore

// sealing is off in this build: it exists so that the scan for plaintext on a
// data directory can be shown to find it.
const sealing = false
