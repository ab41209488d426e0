internal import Glibc

/// The name of this process for people.
package enum ProcessName {
    /// The host name and the process id, such as `web-1:4711`.
    package static var current: String { "\(host):\(getpid())" }

    private static let host: String = {
        // Linux limits host names to 64 bytes.
        var name = [CChar](repeating: 0, count: 65)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }()
}
