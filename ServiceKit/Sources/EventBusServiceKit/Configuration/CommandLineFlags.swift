/// The flags of a command line, checked against the settings.
///
/// They are stored as the equivalent environment variables and read in the same way. The configuration library's own
/// reader of flags treats a comma as the end of a value, and a list of brokers or a password may contain one.
struct CommandLineFlags: Hashable, Sendable {
    /// A Boolean value indicating whether help is requested.
    var wantsHelp = false
    /// A Boolean value indicating whether the version is requested.
    var wantsVersion = false
    /// The values by the names of the equivalent environment variables.
    var values: [String: String] = [:]

    /// Parses `arguments`, the first of which is the program.
    ///
    /// - Throws: ``UsageError`` for an unknown flag, or one without its value.
    init(_ arguments: [String], settings: [Setting]) throws(UsageError) {
        let byFlag = Dictionary(settings.map { ($0.flag, $0) }) { first, _ in first }
        var rest = arguments.dropFirst()[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h": wantsHelp = true
            case "--version": wantsVersion = true
            default:
                let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let flag = String(parts[0])
                guard let setting = byFlag[flag] else { throw Self.unknown(argument, flags: Array(byFlag.keys)) }
                guard values[setting.environmentVariable] == nil else {
                    throw UsageError("\(flag) is given twice")
                }
                values[setting.environmentVariable] = try Self.value(
                    of: setting,
                    inline: parts.count == 2 ? String(parts[1]) : nil,
                    rest: &rest
                )
            }
        }
    }

    private static func value(
        of setting: Setting,
        inline: String?,
        rest: inout ArraySlice<String>
    ) throws(UsageError) -> String {
        if let inline { return inline }
        let next = rest.first
        if setting.kind == .bool {
            guard let next, Bool(next) != nil else { return "true" }
            rest.removeFirst()
            return next
        }
        guard let next, !next.hasPrefix("--") else {
            throw UsageError("\(setting.flag) needs a value: \(setting.meaning)")
        }
        rest.removeFirst()
        return next
    }

    private static func unknown(_ argument: String, flags: [String]) -> UsageError {
        // The part after an equals sign may be a secret.
        let name = String(argument.prefix { $0 != "=" })
        guard name.hasPrefix("-") else {
            return UsageError("\(name) is not a flag; flags begin with -- and --help prints them")
        }
        let similar = flags.filter { $0.hasPrefix(name) || name.hasPrefix($0) || $0.hasSuffix(name.dropFirst()) }
        let hint = similar.min().map { ": did you mean \($0)?" } ?? ""
        return UsageError("there is no flag \(name)\(hint)")
    }
}
