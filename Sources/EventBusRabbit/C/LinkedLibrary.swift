import CRabbitMQ
import EventBus

/// The librabbitmq that this process is linked with.
enum LinkedLibrary {
    /// The oldest release without a known vulnerability in the parts that are used here (CVE-2019-18609).
    private static let minimum: UInt32 = 0x000A_0001

    /// The release, such as `0.11.0`.
    static var version: String { String(cString: amqp_version()) }

    /// Returns a Boolean value indicating whether the library has a known vulnerability. A distribution that fixes an
    /// old release keeps its number.
    static func isVulnerable(_ number: UInt32 = amqp_version_number()) -> Bool { number < minimum }

    /// Logs the release, as a warning if it is too old.
    static func log(to logger: BackgroundLogger) {
        if isVulnerable() {
            logger.warning(
                "librabbitmq has known vulnerabilities; use 0.10 or later",
                metadata: ["version": "\(version)"]
            )
        } else {
            logger.info("using librabbitmq", metadata: ["version": "\(version)"])
        }
    }
}
