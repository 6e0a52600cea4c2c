package command

//go:generate sh generate.sh
