// Package docs holds what the documentation says against the code.
//
// It never ships; it imports what it compares.
package docs
