/// The name of this process for people.
package enum ProcessName {
    /// The host name and the process id, such as `web-1:4711`.
    package static var current: String { "\(host):\(Platform.processID)" }

    private static let host = Platform.hostName ?? "unknown"
}
