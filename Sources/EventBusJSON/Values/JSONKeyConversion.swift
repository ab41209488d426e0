#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// The conversions between Swift names and JSON names, identical to those of Foundation's coders.
enum JSONKeyConversion {
    /// Converts `myURLProperty` to `my_url_property`.
    static func snakeCase(_ name: String) -> String {
        guard !name.isEmpty else { return name }
        var words: [Substring] = []
        let scalars = name.unicodeScalars
        var wordStart = name.startIndex
        var search = name.index(after: wordStart)
        while let upper = scalars[search...].firstIndex(where: isUppercase) {
            words.append(name[wordStart..<upper])
            guard let lower = scalars[upper...].firstIndex(where: isLowercase) else {
                wordStart = upper
                break
            }
            if lower == name.index(after: upper) {
                wordStart = upper
            } else {
                let last = name.index(before: lower)
                words.append(name[upper..<last])
                wordStart = last
            }
            search = scalars.index(after: lower)
        }
        words.append(name[wordStart...])
        return words.map { $0.lowercased() }.joined(separator: "_")
    }

    private static func isUppercase(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter: true
        default: false
        }
    }

    private static func isLowercase(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .lowercaseLetter
    }

    /// Converts `my_url_property` to `myUrlProperty`, and keeps leading and trailing underscores.
    static func camelCase(_ name: String) -> String {
        guard let first = name.firstIndex(where: { $0 != "_" }), let last = name.lastIndex(where: { $0 != "_" }) else {
            return name
        }
        let words = name[first...last].split(separator: "_")
        guard words.count > 1 else { return name }
        let joined = ([words[0].lowercased()] + words[1...].map { String($0).capitalized }).joined()
        return name[..<first] + joined + name[name.index(after: last)...]
    }
}
