// Package server answers the API server's TokenReviews over HTTPS, and says how it
// is doing on health and metrics endpoints.
package server
