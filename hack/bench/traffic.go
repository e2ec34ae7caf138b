package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// trafficCommand is the first argument of this program where it sends and receives between the ends of two links.
const trafficCommand = "traffic"

// The ports of the receiving side.
const (
	portTCP   = "7001" // swallows, and answers with one byte at the end
	portEcho  = "7002" // UDP: answers what comes
	portCount = "7003" // UDP: swallows numbered datagrams, and answers every sixteenth with its number and how many have come
)

const (
	// window is how many datagrams may be on their way. A sender without a bound measures who of sender, switch and receiver
	// gets a processor, and how much is lost by that.
	window = 64
	// every is which of them is answered.
	every = 16
	// silent is how long an answer is waited for, before all that is on its way is taken for lost.
	silent = 50 * time.Millisecond
)

// sent is what the sending side measured.
type sent struct {
	TCP     float64 // Mbit/s
	UDP     float64 // Mbit/s that arrived, with a window of datagrams on their way
	Lost    int     // of these datagrams
	Latency float64 // µs, there and back, median
}

// traffic runs one side: "receive ADDRESS" until it is ended, or "send ADDRESS SECONDS".
func traffic(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "receive":
		return receive(args[1])
	case len(args) == 3 && args[0] == "send":
		long, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		s, err := send(args[1], long)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	return fmt.Errorf("traffic %q: not known", args)
}

func receive(address string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(address, portTCP))
	if err != nil {
		return err
	}
	echo, err := net.ListenPacket("udp", net.JoinHostPort(address, portEcho))
	if err != nil {
		return err
	}
	count, err := net.ListenPacket("udp", net.JoinHostPort(address, portCount))
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from) // one that is lost is sent again
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for came := uint64(0); ; {
			n, from, err := count.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 16 {
				continue
			}
			number := binary.BigEndian.Uint64(buf)
			if number == 0 {
				came = 0 // another sender
			}
			came++
			if number%every == every-1 {
				binary.BigEndian.PutUint64(buf[8:], came)
				_, _ = count.WriteTo(buf[:16], from) // one that is lost is made up for by the next
			}
		}
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()               //nolint:errcheck // nothing is lost by it
			_, _ = io.Copy(io.Discard, c) // until the sender closes
			_, _ = c.Write([]byte{1})
		}()
	}
}

func send(address string, long time.Duration) (s sent, _ error) {
	chunk := make([]byte, 64<<10)
	c, err := reached(net.JoinHostPort(address, portTCP))
	if err != nil {
		return s, err
	}
	defer c.Close() //nolint:errcheck // nothing is lost by it
	total := 0
	began := time.Now()
	for time.Since(began) < long {
		n, err := c.Write(chunk)
		if err != nil {
			return s, err
		}
		total += n
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return s, err
	}
	if _, err := io.ReadFull(c, chunk[:1]); err != nil {
		return s, err
	}
	s.TCP = float64(total) * 8 / 1e6 / time.Since(began).Seconds()

	if s.UDP, s.Lost, err = paced(net.JoinHostPort(address, portCount), long); err != nil {
		return s, err
	}

	echo, err := net.Dial("udp", net.JoinHostPort(address, portEcho))
	if err != nil {
		return s, err
	}
	defer echo.Close() //nolint:errcheck // nothing is lost by it
	var trips []time.Duration
	for range 300 {
		began := time.Now()
		if _, err := again(echo, chunk[:64]); err != nil {
			return s, err
		}
		trips = append(trips, time.Since(began))
	}
	s.Latency = float64(medianTime(trips).Nanoseconds()) / 1000
	return s, nil
}

// paced sends datagrams of 1400 bytes, never more than a window before they are answered for, and returns how many Mbit/s have
// arrived, and how many datagrams have not.
func paced(address string, long time.Duration) (rate float64, lost int, _ error) {
	c, err := net.Dial("udp", address)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close() //nolint:errcheck // nothing is lost by it
	datagram, answer := make([]byte, 1400), make([]byte, 16)
	var next, heard, came uint64
	began := time.Now()
	for time.Since(began) < long {
		for ; next < heard+window; next++ {
			binary.BigEndian.PutUint64(datagram, next)
			if _, err := c.Write(datagram); err != nil {
				return 0, 0, err
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(silent)); err != nil {
			return 0, 0, err
		}
		switch _, err := c.Read(answer); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			heard = next
		case err != nil:
			return 0, 0, err
		default:
			heard, came = max(heard, binary.BigEndian.Uint64(answer)+1), max(came, binary.BigEndian.Uint64(answer[8:]))
		}
	}
	if came == 0 {
		return 0, 0, errors.New("nobody answers")
	}
	return float64(came*1400*8) / 1e6 / time.Since(began).Seconds(), max(0, int(heard)-int(came)), nil //nolint:gosec // some millions
}

// again sends a datagram until it is answered.
func again(c net.Conn, datagram []byte) ([]byte, error) {
	buf := make([]byte, 2048)
	for range 20 {
		if _, err := c.Write(datagram); err != nil {
			return nil, err
		}
		if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return nil, err
		}
		n, err := c.Read(buf)
		if err == nil {
			return buf[:n], nil
		}
	}
	return nil, errors.New("nobody answers")
}

// reached connects to a receiver that may not listen yet.
func reached(address string) (net.Conn, error) {
	for giveUp := time.Now().Add(5 * time.Second); ; {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil || time.Now().After(giveUp) {
			return c, err
		}
		<-time.After(10 * time.Millisecond)
	}
}
