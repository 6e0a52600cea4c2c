// Package fulltext says what of a message SEARCH looks at, as which text. The
// search that reads messages and the index that saves reading them (package
// mailstore/search) both get their text here, so that they cannot differ.
package fulltext
