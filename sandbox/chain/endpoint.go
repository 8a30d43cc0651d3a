// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/ethereum/go-ethereum/rpc"
)

// maxRequest bounds a request's body in bytes, as a node does.
const maxRequest = 5 << 20

// Codes of JSON-RPC 2.0 and, for a revert, of the Ethereum execution APIs.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeServer         = -32000
	codeReverted       = 3
)

// dispatcher answers one JSON-RPC call. Errors that are an rpc.Error or rpc.DataError keep their code and data.
type dispatcher interface {
	dispatch(ctx context.Context, method string, params []json.RawMessage) (any, error)
}

// rpcError is an error with a JSON-RPC code, and with data where it is a revert.
type rpcError struct {
	code    int
	message string
	data    any
}

var _ rpc.DataError = (*rpcError)(nil)

// Error returns the message.
func (e *rpcError) Error() string { return e.message }

// ErrorCode returns the JSON-RPC code.
func (e *rpcError) ErrorCode() int { return e.code }

// ErrorData returns the revert data as 0x text, or nil.
func (e *rpcError) ErrorData() any { return e.data }

type request struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type responseError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *responseError  `json:"error,omitempty"`
}

// endpoint is JSON-RPC 2.0 over HTTP POST, single and batch, in front of a dispatcher. It has no sockets and no goroutines.
type endpoint struct {
	dispatcher
}

// ServeHTTP answers one request or batch.
func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "content length too large", http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A write fails only where the client has gone, and then nobody is left to tell.
	_ = json.NewEncoder(w).Encode(e.answer(r.Context(), body))
}

func (e endpoint) answer(ctx context.Context, body []byte) any {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		return e.single(ctx, body)
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(body, &batch); err != nil {
		return failure(nil, &rpcError{code: codeParse, message: "parse error"})
	}
	if len(batch) == 0 {
		return failure(nil, &rpcError{code: codeInvalidRequest, message: "empty batch"})
	}
	answers := make([]response, 0, len(batch))
	for _, one := range batch {
		answers = append(answers, e.single(ctx, one))
	}
	return answers
}

func (e endpoint) single(ctx context.Context, body []byte) response {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return failure(nil, &rpcError{code: codeParse, message: "parse error"})
	}
	if req.Version != "2.0" || req.Method == "" {
		return failure(req.ID, &rpcError{code: codeInvalidRequest, message: "invalid request"})
	}
	var params []json.RawMessage
	if len(req.Params) > 0 {
		if err := json.Unmarshal(req.Params, &params); err != nil {
			return failure(req.ID, &rpcError{code: codeInvalidParams, message: "non-array args"})
		}
	}
	result, err := e.dispatch(ctx, req.Method, params)
	if err != nil {
		return failure(req.ID, err)
	}
	text, err := json.Marshal(result)
	if err != nil {
		return failure(req.ID, err)
	}
	return response{Version: "2.0", ID: req.ID, Result: text}
}

func failure(id json.RawMessage, err error) response {
	fault := &responseError{Code: codeServer, Message: err.Error()}
	if coded, ok := errors.AsType[rpc.Error](err); ok {
		fault.Code = coded.ErrorCode()
	}
	if withData, ok := errors.AsType[rpc.DataError](err); ok {
		fault.Data = withData.ErrorData()
	}
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	return response{Version: "2.0", ID: id, Error: fault}
}

func noMethod(name string) error {
	return &rpcError{code: codeNoMethod, message: "the method " + name + " does not exist/is not available"}
}
