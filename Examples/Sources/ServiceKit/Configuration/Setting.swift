/// One key of a service's configuration: what `--help` prints, and what flags are checked against.
///
/// A key such as `http.port` is set by the flag `--http-port`, by the environment variable `HTTP_PORT`, or by
/// `{"http": {"port": 8080}}` in the file that `config.file` names, in this order.
public struct Setting: Hashable, Sendable {
    /// What the value has to be.
    public enum Kind: String, Hashable, Sendable {
        /// Any text.
        case string
        /// A whole number.
        case int
        /// A number.
        case double
        /// `true` or `false`; as a flag also without a value, which is `true`.
        case bool
    }

    /// The key, its parts separated by dots, such as `database.path`.
    public var key: String
    /// What the value has to be.
    public var kind: Kind
    /// What counts if it is not set; `nil` if that is described by ``meaning``.
    public var defaultValue: String?
    /// Whether the value is never to be shown.
    public var isSecret: Bool
    /// What it is for, in one line.
    public var meaning: String
    /// Whether ``defaultValue`` is only told, and not given to those who read the configuration.
    var isDefaultOnlyTold = false

    /// A key of the configuration.
    ///
    /// - Parameters:
    ///   - key: The key, its parts separated by dots and in camel case, such as `http.port`.
    ///   - kind: What the value has to be.
    ///   - default: What those who read the configuration get if it is not set; `nil` for nothing.
    ///   - isSecret: Whether the value is never to be shown in a log, an error or a description.
    ///   - meaning: What it is for, in one line.
    public init(_ key: String, _ kind: Kind, default: String?, isSecret: Bool = false, _ meaning: String) {
        self.key = key
        self.kind = kind
        self.defaultValue = `default`
        self.isSecret = isSecret
        self.meaning = meaning
    }

    /// The environment variable that sets it: upper case, with an underscore between words and parts.
    public var environmentVariable: String {
        var name = ""
        var previous: Character = "."
        for character in key {
            if character.isUppercase && previous.isLowercase { name.append("_") }
            name += character.isLetter || character.isNumber ? character.uppercased() : "_"
            previous = character
        }
        return name
    }

    /// The flag that sets it, such as `--http-port`.
    public var flag: String {
        "--" + environmentVariable.lowercased().map { $0 == "_" ? "-" : String($0) }.joined()
    }
}
