package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A small client of Redis, for the faults that are made in it.
type redisClient struct {
	conn   net.Conn
	reader *bufio.Reader
}

func openRedis(address string) (*redisClient, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return nil, err
	}
	r := &redisClient{conn, bufio.NewReader(conn)}
	if password, isSet := u.User.Password(); isSet {
		if _, err := r.do("AUTH", password); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *redisClient) close() { r.conn.Close() }

// do gives nil, a string, an int64 or a []interface{}.
func (r *redisClient) do(words ...string) (interface{}, error) {
	_ = r.conn.SetDeadline(time.Now().Add(5 * time.Second))
	var text strings.Builder
	fmt.Fprintf(&text, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&text, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(r.conn, text.String()); err != nil {
		return nil, err
	}
	return r.read()
}

func (r *redisClient) read() (interface{}, error) {
	line, err := r.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch line[0] {
	case '+':
		return line[1:], nil
	case '-':
		return nil, fmt.Errorf("redis: %s", line[1:])
	}
	number, err := strconv.ParseInt(line[1:], 10, 64)
	if err != nil || line[0] == ':' {
		return number, err
	}
	if number < 0 {
		return nil, nil
	}
	if line[0] == '$' {
		bytes := make([]byte, number+2)
		_, err := io.ReadFull(r.reader, bytes)
		return string(bytes[:number]), err
	}
	list := make([]interface{}, number)
	for i := range list {
		if list[i], err = r.read(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// keys gives those that match a pattern.
func (r *redisClient) keys(pattern string) ([]string, error) {
	var keys []string
	for cursor := "0"; ; {
		reply, err := r.do("SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
		if err != nil {
			return nil, err
		}
		page := reply.([]interface{})
		for _, key := range page[1].([]interface{}) {
			keys = append(keys, key.(string))
		}
		if cursor = page[0].(string); cursor == "0" {
			return keys, nil
		}
	}
}
