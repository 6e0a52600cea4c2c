// Package node hosts the replicas of one node: it opens the groups its
// identity names, begins them anew when their log is lost, and offers them to
// membership and to the doors.
package node
