import CHiredis
import COpenSSL
import Logging

/// The C libraries of this module.
enum LinkedLibraries {
    /// The release of hiredis whose headers were used, such as `0.14.1`. hiredis has no function for the linked release.
    static let hiredis = "\(HIREDIS_MAJOR).\(HIREDIS_MINOR).\(HIREDIS_PATCH)"

    /// The linked release of OpenSSL, such as `OpenSSL 3.0.19 27 Jan 2026`.
    static var openSSL: String { OpenSSL_version(OPENSSL_VERSION).map { String(cString: $0) } ?? "unknown" }

    /// Returns a Boolean value indicating whether a release of OpenSSL gets no fixes any more.
    static func isUnsupported(openSSL number: UInt = OpenSSL_version_num()) -> Bool { number < 0x3000_0000 }

    /// Returns a Boolean value indicating whether a release of hiredis has a known vulnerability in the parts that are
    /// used here. A distribution that fixes an old release keeps its number.
    ///
    /// 0.14.1 checks allocations (CVE-2020-7105). The integer overflow of arrays that 1.0.1 fixed (CVE-2021-32765) is
    /// in a function that ``ReplyBuilder`` replaces.
    static func isVulnerable(
        _ major: Int32 = HIREDIS_MAJOR,
        _ minor: Int32 = HIREDIS_MINOR,
        _ patch: Int32 = HIREDIS_PATCH
    ) -> Bool {
        (major, minor, patch) < (0, 14, 1)
    }

    /// Logs the releases, as a warning if one is too old.
    static func log(to logger: Logger) {
        let metadata: Logger.Metadata = ["version": "\(hiredis)", "openssl": "\(openSSL)"]
        if isVulnerable() {
            logger.warning("hiredis has known vulnerabilities; use 0.14.1 or later", metadata: metadata)
        } else if isUnsupported() {
            logger.warning("OpenSSL gets no fixes; use 3.0 or later", metadata: metadata)
        } else {
            logger.info("using hiredis", metadata: metadata)
        }
    }
}
