// Package config reads the environment into one checked value.
//
// The environment is the only source: a managed plugin gets its settings as variables (`docker plugin set`), and a file
// beside them would raise the question which of the two wins. Everything is checked once, here, before anything starts, and
// an error names the variable, the value and what is allowed.
//
// As in package options, one table holds each variable with its description, default and parser, and the README's
// table is generated from it.
package config
