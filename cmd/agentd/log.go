// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/agentd-project/agentd/config"
)

// newLogger writes to errs: JSON, or lines for a person if errs is a terminal
// and the configuration does not say otherwise. The level can be changed while
// the daemon runs.
func newLogger(errs io.Writer, c config.Log) (*zap.Logger, zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(string(c.Level))
	if err != nil {
		return nil, level, err
	}
	format := zap.NewProductionEncoderConfig()
	format.TimeKey = "time"
	format.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	format.EncodeDuration = zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(format)
	if c.Format == config.FormatConsole || (c.Format == config.FormatAuto && isTerminal(errs)) {
		format.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		format.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(format)
	}
	sink := zapcore.Lock(zapcore.AddSync(errs))
	return zap.New(zapcore.NewCore(encoder, sink, level)), level, nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits an int
}
