// Package adminpb holds the messages of the admin API, made from admin.proto.
package adminpb
