/// The rules for names of groups and subscriptions.
enum SubscriptionName {
    /// The name that is reserved for every group's dead letters.
    static let reserved = "dead"
    /// The maximum length of the name of a group or subscription, in bytes.
    static let maximumLength = 100

    /// Returns the name of a subscription to `pattern`: its words joined by `-`, with `*` as `any` and `#` as `all`.
    ///
    /// No two patterns share a name: if another pattern could have the same name, the name ends in a checksum.
    static func derived(from pattern: TopicPattern) -> String {
        var isAmbiguous = false
        let words = pattern.words.map { (word) -> String in
            switch word {
            case .one: return "any"
            case .many: return "all"
            case .literal(let word):
                let text = word.text
                if ["any", "all", reserved].contains(String(text)) || !text.allSatisfy({ isAllowed($0) && $0 != "-" }) {
                    isAmbiguous = true
                }
                // By Unicode scalars, because the formation of characters may change with a release of Swift.
                return text.unicodeScalars.map { isAllowed(Character($0)) ? String($0) : "_" }.joined()
            }
        }
        let name = words.joined(separator: "-")
        guard isAmbiguous || name.utf8.count > maximumLength else { return name }
        let suffix = "-" + checksum(of: pattern.rawValue)
        return String(name.prefix(maximumLength - suffix.utf8.count)) + suffix
    }

    /// Returns a 64-bit checksum in hexadecimal that is the same in every process (FNV-1a: Fowler, Noll and Vo).
    private static func checksum(of text: String) -> String {
        let hash = StableHash.hash(of: text.utf8)
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Returns a description of the problem with the names, or `nil` if they are valid.
    static func problem(group: String, name: String) -> String? {
        if name == reserved { return "a subscription cannot be called \"dead\": \(group).dead holds the dead letters" }
        for (kind, text) in [("group", group), ("subscription", name)] {
            if text.isEmpty { return "the name of the \(kind) is empty" }
            if text.utf8.count > maximumLength {
                return "the name of the \(kind) has \(text.utf8.count) bytes, \(maximumLength) are allowed"
            }
            if !text.allSatisfy(isAllowed) {
                return "\(text.quotedForError) cannot name a \(kind): use letters, digits, _ and -"
            }
        }
        return nil
    }

    private static func isAllowed(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || character == "_" || character == "-")
    }
}
