package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// http2 is one connection that speaks HTTP/2 (RFC 9113), for as many calls at once as the server allows; more
// wait for their turn. That is how the API server calls. Like http1 it understands only what it needs to.
type http2 struct {
	conn *tls.Conn

	mu      sync.Mutex
	room    *sync.Cond // max or window has grown, calls has shrunk, or err is set
	scratch []byte
	next    uint32           // ID of the next stream
	calls   map[uint32]*call // by stream
	max     int              // calls at once
	window  int              // bytes of bodies that the server takes now
	err     error            // the connection is of no use any more
}

// Types, flags and settings of RFC 9113, sections 6 and 6.5.2.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8

	flagEndStream  = 0x1 // of data and headers
	flagAck        = 0x1 // of settings and pings
	flagEndHeaders = 0x4

	settingTableSize     = 0x1
	settingMaxStreams    = 0x3
	settingInitialWindow = 0x4

	frameHeader   = 9
	initialWindow = 65535
	maxFrame      = 16384
	// maxWindow is the largest window, which we grant: it is enlarged each time that half of it is used.
	maxWindow = 1<<31 - 1
)

func newHTTP2(conn *tls.Conn) (*http2, error) {
	h := &http2{conn: conn, next: 1, calls: make(map[uint32]*call), window: initialWindow}
	h.room = sync.NewCond(&h.mu)
	hello := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	hello = appendFrame(hello, frameSettings, 0, 0, appendSetting(appendSetting(nil, settingTableSize, 0), settingInitialWindow, 1<<20))
	hello = appendFrame(hello, frameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, maxWindow-initialWindow))
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(conn, 64<<10)
	// The settings come first; they say how many calls are allowed.
	if err := h.readFrame(reader, new(int)); err != nil {
		return nil, err
	}
	if h.max == 0 {
		return nil, errors.New("HTTP/2: the server did not say how many streams it allows")
	}
	go h.read(reader)
	return h, nil
}

func (h *http2) close() { h.conn.Close() }

func (h *http2) do(c *call, r *request) {
	if err := h.send(c, r); err != nil {
		c.err = err
		return
	}
	<-c.done
}

func (h *http2) send(c *call, r *request) error {
	if len(r.body) > maxFrame {
		return fmt.Errorf("body of %d bytes, want at most %d", len(r.body), maxFrame)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.err == nil && (len(h.calls) >= h.max || h.window < len(r.body)) {
		h.room.Wait()
	}
	if h.err != nil {
		return h.err
	}
	stream := h.next
	h.next += 2
	h.calls[stream] = c
	h.window -= len(r.body)

	b := appendFrame(h.scratch[:0], frameHeaders, flagEndHeaders, stream, nil)
	b = appendRequestHeaders(b, stream == 1, len(r.body))
	putLength(b, len(b)-frameHeader)
	b = appendFrame(b, frameData, flagEndStream, stream, r.body)
	h.scratch = b
	if _, err := h.conn.Write(b); err != nil {
		delete(h.calls, stream)
		return err
	}
	return nil
}

// read reads until the connection ends.
func (h *http2) read(reader *bufio.Reader) {
	received := 0 // since the window was last enlarged
	for {
		if err := h.readFrame(reader, &received); err != nil {
			h.fail(err)
			return
		}
	}
}

func (h *http2) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = fmt.Errorf("HTTP/2 connection: %w", err)
	for stream := range h.calls {
		h.end(stream, h.err)
	}
	h.room.Broadcast()
}

// end ends the call of a stream. It needs h.mu to be held.
func (h *http2) end(stream uint32, err error) {
	c, ok := h.calls[stream]
	if !ok {
		return
	}
	delete(h.calls, stream)
	c.err = err
	c.done <- struct{}{}
	h.room.Signal()
}

func (h *http2) readFrame(reader *bufio.Reader, received *int) error {
	head, err := reader.Peek(frameHeader)
	if err != nil {
		return err
	}
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])&(1<<31-1)
	if length > maxFrame {
		return fmt.Errorf("frame of %d bytes, want at most %d", length, maxFrame)
	}
	frame, err := reader.Peek(frameHeader + length)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	defer reader.Discard(len(frame))
	payload := frame[frameHeader:]

	h.mu.Lock()
	defer h.mu.Unlock()
	switch kind {
	case frameHeaders:
		if flags&flagEndHeaders == 0 {
			return errors.New("headers in more than one frame")
		}
		if c := h.calls[stream]; c != nil {
			if c.status, err = parseStatus(payload); err != nil {
				return err
			}
		}
		if flags&flagEndStream != 0 {
			h.end(stream, nil)
		}
	case frameData:
		if c := h.calls[stream]; c != nil {
			c.body = append(c.body, payload...)
		}
		if flags&flagEndStream != 0 {
			h.end(stream, nil)
		}
		if *received += len(payload); *received > maxWindow/2 {
			if err := h.write(frameWindowUpdate, 0, binary.BigEndian.AppendUint32(nil, uint32(*received))); err != nil {
				return err
			}
			*received = 0
		}
	case frameReset:
		h.end(stream, fmt.Errorf("HTTP/2: the server reset the stream, code %d", binary.BigEndian.Uint32(payload)))
	case frameSettings:
		return h.readSettings(flags, payload)
	case framePing:
		if flags&flagAck == 0 {
			return h.write(framePing, flagAck, payload)
		}
	case frameGoAway:
		return fmt.Errorf("the server goes away, code %d: %q", binary.BigEndian.Uint32(payload[4:]), payload[8:])
	case frameWindowUpdate:
		if stream == 0 { // those of streams don't matter: a body fits the first window
			h.window += int(binary.BigEndian.Uint32(payload))
			h.room.Broadcast()
		}
	}
	return nil
}

func (h *http2) readSettings(flags byte, payload []byte) error {
	if flags&flagAck != 0 {
		return nil
	}
	for ; len(payload) >= 6; payload = payload[6:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch binary.BigEndian.Uint16(payload) {
		case settingMaxStreams:
			h.max = int(value)
			h.room.Broadcast()
		case settingInitialWindow:
			if value < maxFrame {
				return fmt.Errorf("the server takes %d bytes of a body at first, want at least %d", value, maxFrame)
			}
		}
	}
	return h.write(frameSettings, flagAck, nil)
}

// write writes a frame of the connection. It needs h.mu to be held.
func (h *http2) write(kind, flags byte, payload []byte) error {
	_, err := h.conn.Write(appendFrame(nil, kind, flags, 0, payload))
	return err
}

func appendFrame(b []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// putLength sets the length of the payload in the frame at the start of b.
func putLength(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

// The headers that each request has, beside those of which HPACK (RFC 7541, appendix A) has a number for the
// whole. The first request puts them into the table of the connection, later ones name them by their place in it.
var requestHeaders = []struct {
	name  byte // number in the static table
	value string
}{
	{4, "/authenticate"}, // :path
	{1, "localhost"},     // :authority
	{31, "application/json"},
	{19, "application/json, */*"},
	{58, userAgent},
}

const (
	headerPost        = 0x80 | 3
	headerHTTPS       = 0x80 | 7
	headerGzip        = 0x80 | 16 // accept-encoding: gzip, deflate
	headerLength      = 28        // its name
	firstDynamicEntry = 62
)

func appendRequestHeaders(b []byte, first bool, length int) []byte {
	b = append(b, headerPost, headerHTTPS)
	for i, header := range requestHeaders {
		if first {
			b = append(b, 0x40|header.name, byte(len(header.value)))
			b = append(b, header.value...)
		} else {
			b = append(b, 0x80|byte(firstDynamicEntry+len(requestHeaders)-1-i))
		}
	}
	digits := strconv.Itoa(length)
	b = append(b, headerGzip, 0x0f, headerLength-0x0f, byte(len(digits))) // a literal, not put into the table
	return append(b, digits...)
}

// parseStatus reads the first of the headers of an answer, which is its status. We allow the server no table, so
// that it can name no header by a place in one.
func parseStatus(block []byte) (int, error) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 { // says how large the table is
		block = block[1:]
	}
	if len(block) == 0 || block[0]&0x0f < 8 || block[0]&0x0f > 14 { // entries 8 to 14 of the static table are statuses
		return 0, fmt.Errorf("headers of an answer that don't begin with a status: %x", block)
	}
	switch entry := block[0] & 0x0f; block[0] - entry {
	case 0x80: // the whole entry
		return [...]int{200, 204, 206, 304, 400, 404, 500}[entry-8], nil
	case 0x00, 0x10, 0x40: // its name, and then a value of three digits
		if len(block) >= 5 && block[1] == 3 {
			return strconv.Atoi(string(block[2:5]))
		}
	}
	return 0, fmt.Errorf("status of an answer in a form that is not understood: %x", block)
}
