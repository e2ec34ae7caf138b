package control

import (
	"net/http"
	"net/http/pprof"
)

// profiles serves Go's profiles as package net/http/pprof describes them. They cost
// nothing while nobody asks, and the socket is its owner's alone.
func profiles(mux *http.ServeMux) {
	const path = "GET /debug/pprof/"
	mux.HandleFunc(path, pprof.Index)
	mux.HandleFunc(path+"profile", pprof.Profile)
	mux.HandleFunc(path+"trace", pprof.Trace)
}
