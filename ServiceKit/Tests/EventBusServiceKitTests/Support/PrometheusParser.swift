import Testing

/// A parser of Prometheus's text format according to its specification, independent of the code that writes it.
struct PrometheusDocument {
    struct Sample: Hashable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    struct Problem: Error, CustomStringConvertible {
        var description: String
    }

    private(set) var samples: [Sample] = []
    private(set) var types: [String: String] = [:]
    private(set) var helps: [String: String] = [:]

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Problem(description: "the last line does not end") }
        var current = ""
        var finished: Set<String> = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.hasPrefix("# ") {
                let parts = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
                guard parts.count == 4 else { throw Problem(description: "half a comment: \(line)") }
                if parts[1] == "HELP" {
                    guard helps.updateValue(parts[3], forKey: parts[2]) == nil else {
                        throw Problem(description: "a second HELP of \(parts[2])")
                    }
                    finished.insert(current)
                    current = parts[2]
                } else if parts[1] == "TYPE" {
                    guard parts[2] == current, types.updateValue(parts[3], forKey: parts[2]) == nil else {
                        throw Problem(description: "a TYPE out of its place: \(line)")
                    }
                }
                continue
            }
            var reader = Reader(line)
            let sample = try reader.sample()
            let suffixes = ["histogram": ["_bucket", "_sum", "_count"], "summary": ["_sum", "_count"]]
            let names = (suffixes[types[current] ?? ""] ?? [""]).map { current + $0 }
            guard names.contains(sample.name), !finished.contains(current) else {
                throw Problem(description: "\(sample.name) does not belong to \(current)")
            }
            guard !samples.contains(where: { $0.name == sample.name && $0.labels == sample.labels }) else {
                throw Problem(description: "a second sample: \(line)")
            }
            samples.append(sample)
        }
    }

    /// Returns the value of the sample with this name and exactly these labels.
    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        samples.first { $0.name == name && $0.labels == labels }?.value
    }

    private struct Reader {
        private var rest: Substring

        init(_ line: Substring) { rest = line }

        mutating func sample() throws -> Sample {
            let name = take { $0.isLetter || $0.isNumber || $0 == "_" || $0 == ":" }
            guard let first = name.unicodeScalars.first, !("0"..."9").contains(first), name.allSatisfy(\.isASCII) else {
                throw Problem(description: "not a name: \(rest)")
            }
            var labels: [String: String] = [:]
            if skip("{") {
                while !skip("}") {
                    let label = take { $0.isLetter || $0.isNumber || $0 == "_" }
                    guard !label.isEmpty, skip("="), skip("\"") else { throw Problem(description: "no label: \(rest)") }
                    guard labels.updateValue(try quoted(), forKey: label) == nil else {
                        throw Problem(description: "the label \(label) comes twice")
                    }
                    _ = skip(",")
                }
            }
            guard skip(" ") else { throw Problem(description: "no value: \(rest)") }
            return Sample(name: name, labels: labels, value: try number())
        }

        private mutating func number() throws -> Double {
            switch rest {
            case "+Inf": return .infinity
            case "-Inf": return -.infinity
            case "NaN": return .nan
            default:
                guard let value = Double(rest) else { throw Problem(description: "not a number: \(rest)") }
                return value
            }
        }

        private mutating func quoted() throws -> String {
            var text = ""
            while let character = rest.popFirst() {
                if character == "\"" { return text }
                guard character == "\\" else {
                    text.append(character)
                    continue
                }
                switch rest.popFirst() {
                case "n": text.append("\n")
                case "\\": text.append("\\")
                case "\"": text.append("\"")
                default: throw Problem(description: "a bad escape before: \(rest)")
                }
            }
            throw Problem(description: "a label's value does not end")
        }

        private mutating func take(while predicate: (Character) -> Bool) -> String {
            let taken = rest.prefix(while: predicate)
            rest = rest[taken.endIndex...]
            return String(taken)
        }

        private mutating func skip(_ character: Character) -> Bool {
            guard rest.first == character else { return false }
            rest.removeFirst()
            return true
        }
    }
}
