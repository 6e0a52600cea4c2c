// Package adminpbconnect holds the client and the handler of the admin API,
// made from admin.proto.
package adminpbconnect
