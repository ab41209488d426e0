import CPostgres
import Logging

/// The libpq that this process is linked with.
enum LinkedLibrary {
    /// The first minor releases of each major one in which a server cannot make libpq write beyond an allocation
    /// (CVE-2025-12818). All later major releases have the fix.
    private static let fixed: [Int32: Int32] = [14: 20, 15: 15, 16: 11, 17: 7, 18: 1]

    /// The release, such as `15.20`.
    static func version(_ number: Int32 = PQlibVersion()) -> String { "\(number / 10_000).\(number % 10_000)" }

    /// Returns a Boolean value indicating whether a release has a known vulnerability. A distribution that fixes an old
    /// release keeps its number.
    static func isVulnerable(_ number: Int32 = PQlibVersion()) -> Bool {
        let (major, minor) = (number / 10_000, number % 10_000)
        guard let first = fixed[major] else { return major < 14 }
        return minor < first
    }

    /// Logs the release, as a warning if it is too old.
    static func log(to logger: Logger) {
        if isVulnerable() {
            logger.warning(
                "libpq has known vulnerabilities; use the latest minor release",
                metadata: ["version": "\(version())"]
            )
        } else {
            logger.info("using libpq", metadata: ["version": "\(version())"])
        }
    }
}
