package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// http1 is a connection that speaks HTTP/1.1, for one call at a time. It understands what a Go server
// answers to a login, no more: a client that does everything would take more of the processor than the server.
type http1 struct {
	conn    *tls.Conn
	reader  *bufio.Reader
	scratch []byte
}

func newHTTP1(conn *tls.Conn) *http1 { return &http1{conn: conn, reader: bufio.NewReader(conn)} }

func (h *http1) close() { h.conn.Close() }

func (h *http1) do(c *call, r *request) {
	b := append(h.scratch[:0], "POST /authenticate HTTP/1.1\r\nHost: localhost\r\nUser-Agent: "+userAgent+
		"\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, r.body...)
	h.scratch = b
	if _, c.err = h.conn.Write(b); c.err == nil {
		c.err = h.read(c)
	}
}

func (h *http1) read(c *call) error {
	line, err := h.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	status, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(status) < 3 {
		return fmt.Errorf("not an HTTP/1.1 answer: %q", line)
	}
	if c.status, err = strconv.Atoi(string(status[:3])); err != nil {
		return err
	}
	length := -1
	for {
		line, err := h.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 || length > 1<<20 {
		return errors.New("answer without a Content-Length, or with one of more than 1 MiB")
	}
	c.body = append(c.body, make([]byte, length)...)
	_, err = io.ReadFull(h.reader, c.body)
	return err
}
