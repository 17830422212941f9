package mapper

import "go.uber.org/zap"

// MaxLogged is how many problems one load logs. One more line says how many there
// are besides.
const MaxLogged = 20

// Log writes the problem as one line.
func (p Problem) Log(log *zap.Logger) {
	text := "mapping entry skipped"
	if p.Severity == Warning {
		text = "mapping entry is doubtful"
	}
	log.Warn(text, zap.Stringer("entry", p.Source), zap.String("arn", p.Source.ARN), zap.String("problem", p.Message))
}

// LogLoad writes what one load of a document put in force, and its problems in the
// given order. If absent isn't empty it says that the source is missing.
func LogLoad(log *zap.Logger, s Status, problems []Problem, absent string) {
	for i, p := range problems {
		if i == MaxLogged {
			log.Warn("further problems of mapping entries not logged", zap.Int("count", len(problems)-i))
			break
		}
		p.Log(log)
	}
	fields := []zap.Field{zap.Int("entries", s.Entries), zap.Int("problems", len(s.Problems))}
	switch {
	case s.Err != nil:
		log.Error("mappings loaded in part, sections that could not be read stay as they were", append(fields, zap.Error(s.Err))...)
	case absent != "":
		log.Warn(absent, fields...)
	default:
		log.Info("mappings loaded", fields...)
	}
}
