import TerminalText

extension String {
    /// The text as one word of a command for a shell: unchanged if no shell interprets it, and otherwise in quotes and
    /// without characters that a terminal interprets.
    ///
    /// Names of queues come from the broker, and whoever declared them may hope that an operator pastes a remedy.
    var shellWord: String {
        let isPlain = utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        if isPlain, !isEmpty { return self }
        var word = "'"
        // By scalars, because a mark after a quote would make another character of it.
        for scalar in printable.unicodeScalars {
            if scalar == "'" { word += #"'\'"# }
            word.unicodeScalars.append(scalar)
        }
        return word + "'"
    }
}
