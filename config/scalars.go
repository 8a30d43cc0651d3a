// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

var errScalar = errors.New("not allowed here")

// words returns the values of a type that is a closed set of words.
func words(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[Mode]():
		return []string{string(ModeBuy), string(ModeObserve)}
	case reflect.TypeFor[LogLevel]():
		return []string{string(LevelDebug), string(LevelInfo), string(LevelWarn), string(LevelError)}
	case reflect.TypeFor[LogFormat]():
		return []string{string(FormatJSON), string(FormatConsole), string(FormatAuto)}
	case reflect.TypeFor[ProofMode]():
		return []string{string(ProofRPC), string(ProofRecorded)}
	case reflect.TypeFor[KeyName]():
		return []string{string(KeyAgent), string(KeyOwner)}
	case reflect.TypeFor[NetworkScope]():
		return []string{string(ScopeLoopback), string(ScopeLAN), string(ScopeVPN), string(ScopePublic)}
	case reflect.TypeFor[AuthType]():
		return []string{string(AuthNone), string(AuthBearer), string(AuthAPIKey)}
	case reflect.TypeFor[FinalTag]():
		return []string{string(TagFinalized)}
	case reflect.TypeFor[EscrowMode]():
		return []string{string(EscrowTransfer), string(EscrowContract)}
	case reflect.TypeFor[Calendar]():
		return []string{string(CalendarDay), string(CalendarMonth)}
	case reflect.TypeFor[PayeeMode]():
		return []string{string(PayeesList), string(PayeesPin), string(PayeesApprove)}
	case reflect.TypeFor[OnReject]():
		return []string{string(RejectDispute), string(RejectHold)}
	case reflect.TypeFor[Rail]():
		var names []string
		for _, r := range Rails() {
			names = append(names, string(r))
		}
		return names
	default:
		return nil
	}
}

// allowedText says what a scalar may be.
func allowedText(t reflect.Type, m member) string {
	if all := words(t); all != nil {
		return list(all)
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 30s, 10m, 24h or 400d"
	case reflect.TypeFor[money.Value]():
		return `a decimal number from 0, with at most 6 digits after the point, such as "5.00"`
	case reflect.TypeFor[money.ChainID]():
		return "a CAIP-2 chain id of the form eip155:NUMBER, such as eip155:3338"
	case reflect.TypeFor[common.Address]():
		return "0x and 40 hexadecimal digits, with a right checksum if letters are in mixed case"
	case reflect.TypeFor[time.Time]():
		return "a date (2027-12-31) or a time (2027-12-31T18:00:00Z)"
	case reflect.TypeFor[QuietHours]():
		return "a daily span in UTC such as 22:00-06:00"
	case reflect.TypeFor[Bytes]():
		return "a size such as 4096, 64kB, 1MB or 1MiB"
	case amountType:
		return "a decimal number from 0, with at most " + m.unit + " digits after the point"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true, false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint8:
		return "a whole number from 0 to 255"
	case reflect.Uint64:
		return "a whole number from 0"
	default:
		return placeText(m.as)
	}
}

// parseScalar reads a text into v.
func parseScalar(text string, v reflect.Value, m member) error {
	if all := words(v.Type()); all != nil {
		if !slices.Contains(all, text) {
			return errScalar
		}
		v.SetString(text)
		return nil
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		return assign(p, text, parseDuration)
	case *money.Value:
		return assign(p, text, money.ParseValue)
	case *money.ChainID:
		return assign(p, text, parseChainID)
	case *common.Address:
		return assign(p, text, parseAddress)
	case *time.Time:
		return assign(p, text, parseInstant)
	case *QuietHours:
		return assign(p, text, parseQuietHours)
	case *Bytes:
		return assign(p, text, parseBytes)
	case *money.Amount:
		return assign(p, text, func(text string) (money.Amount, error) {
			unit, err := strconv.ParseUint(m.unit, 10, 8)
			if err != nil {
				return money.Amount{}, err
			}
			return money.Parse(text, uint8(unit))
		})
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errScalar
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return err
		}
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return err
		}
		v.SetUint(n)
	default:
		return errScalar
	}
	return nil
}

func assign[T any](to *T, text string, parse func(string) (T, error)) error {
	value, err := parse(text)
	if err != nil {
		return err
	}
	*to = value
	return nil
}

const day = 24 * time.Hour

// parseDuration reads Go's spelling, and days in front of it: 400d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	var days time.Duration
	if head, tail, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, err
		}
		days = time.Duration(n) * day //nolint:gosec // 16 bits of days fit
		if tail == "" {
			return days, nil
		}
		text = tail
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errScalar
	}
	if days > 0 && d >= day {
		return 0, errScalar
	}
	return days + d, nil
}

func parseChainID(text string) (money.ChainID, error) {
	id := money.ChainID(text)
	if n, ok := id.EVM(); !ok || n == 0 {
		return "", errScalar
	}
	return id, nil
}

// parseAddress reads an address. One spelt in mixed case must have the checksum
// of EIP-55: a wrong letter is a typing error, and money sent there is gone.
func parseAddress(text string) (common.Address, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) != 2*common.AddressLength || !common.IsHexAddress(digits) {
		return common.Address{}, errScalar
	}
	a := common.HexToAddress(digits)
	mixed := digits != strings.ToLower(digits) && digits != strings.ToUpper(digits)
	if mixed && a.Hex() != text {
		return common.Address{}, errScalar
	}
	return a, nil
}

func parseInstant(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	return t.UTC(), err
}

func parseQuietHours(text string) (QuietHours, error) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		return QuietHours{}, errScalar
	}
	f, err := parseMinute(strings.TrimSpace(from))
	if err != nil {
		return QuietHours{}, err
	}
	t, err := parseMinute(strings.TrimSpace(to))
	if err != nil || f == t || f == minutesPerDay {
		return QuietHours{}, errScalar
	}
	return QuietHours{From: f, To: t}, nil
}

const minutesPerDay = 24 * 60

var clockTime = regexp.MustCompile(`^(\d\d):(\d\d)$`)

func parseMinute(text string) (int, error) {
	m := clockTime.FindStringSubmatch(text)
	if m == nil {
		return 0, errScalar
	}
	hours, _ := strconv.Atoi(m[1])
	minutes, _ := strconv.Atoi(m[2])
	at := hours*60 + minutes
	if minutes > 59 || at > minutesPerDay {
		return 0, errScalar
	}
	return at, nil
}

var size = regexp.MustCompile(`^(\d{1,12}) ?(B|kB|KB|MB|KiB|MiB)?$`)

func parseBytes(text string) (Bytes, error) {
	m := size.FindStringSubmatch(text)
	if m == nil {
		return 0, errScalar
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, err
	}
	factor := map[string]int64{"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000_000, "KiB": 1 << 10, "MiB": 1 << 20}
	return Bytes(n * factor[m[2]]), nil
}
