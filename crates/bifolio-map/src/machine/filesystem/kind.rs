//! Kinds of file systems, as far as maps of their files differ.

use std::fmt;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "names of file systems")]
pub enum Kind {
    Apfs,
    Bcachefs,
    Btrfs,
    Ceph,
    Ecryptfs,
    Erofs,
    Exfat,
    Ext,
    F2fs,
    Fat,
    Fuse,
    Gfs2,
    Hfs,
    Hugetlbfs,
    Iso9660,
    Nfs,
    NineP,
    Ntfs,
    Ocfs2,
    Overlay,
    Ramfs,
    Smb,
    Squashfs,
    Tmpfs,
    Xfs,
    Zfs,
    /// A file system of the kernel's own: `/proc`, `/sys`, cgroups.
    Kernel,
    /// One that is not known here, by its number.
    Other(u32),
}

/// The numbers by which `statfs` names them (`linux/magic.h`, and the sources of those outside).
const MAGIC: &[(u32, Kind)] = &[
    (0xca45_1a4e, Kind::Bcachefs),
    (0x9123_683e, Kind::Btrfs),
    (0x00c3_6400, Kind::Ceph),
    (0xf15f, Kind::Ecryptfs),
    (0xe0f5_e1e2, Kind::Erofs),
    (0x2011_bab0, Kind::Exfat),
    (0xef53, Kind::Ext),
    (0xf2f5_2010, Kind::F2fs),
    (0x4d44, Kind::Fat),
    (0x6573_5546, Kind::Fuse),
    (0x0116_1970, Kind::Gfs2),
    (0x4244, Kind::Hfs),
    (0x482b, Kind::Hfs),
    (0x9584_58f6, Kind::Hugetlbfs),
    (0x9660, Kind::Iso9660),
    (0x6969, Kind::Nfs),
    (0x0102_1997, Kind::NineP),
    (0x5346_544e, Kind::Ntfs),
    (0x7366_746e, Kind::Ntfs),
    (0x7461_636f, Kind::Ocfs2),
    (0x794c_7630, Kind::Overlay),
    (0x8584_58f6, Kind::Ramfs),
    (0x517b, Kind::Smb),
    (0xff53_4d42, Kind::Smb),
    (0xfe53_4d42, Kind::Smb),
    (0x7371_7368, Kind::Squashfs),
    (0x0102_1994, Kind::Tmpfs),
    (0x5846_5342, Kind::Xfs),
    (0x2fc1_2fc1, Kind::Zfs),
    (0x9fa0, Kind::Kernel),
    (0x6265_6572, Kind::Kernel),
    (0x6462_6720, Kind::Kernel),
    (0x7472_6163, Kind::Kernel),
    (0x0027_e0eb, Kind::Kernel),
    (0x6367_7270, Kind::Kernel),
    (0x1cd1, Kind::Kernel),
    (0x1373, Kind::Kernel),
];

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub fn of_magic(magic: u32) -> Self {
        MAGIC
            .iter()
            .find(|(found, _)| *found == magic)
            .map_or(Self::Other(magic), |(_, kind)| *kind)
    }

    /// The kind that goes by this name on macOS or Windows.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "apfs" => Self::Apfs,
            "hfs" => Self::Hfs,
            "ntfs" => Self::Ntfs,
            "msdos" | "fat" | "fat32" => Self::Fat,
            "exfat" => Self::Exfat,
            "nfs" => Self::Nfs,
            "smbfs" => Self::Smb,
            "tmpfs" => Self::Tmpfs,
            name if name.contains("fuse") => Self::Fuse,
            _ => return None,
        })
    }

    /// Whether another machine may change the bytes: then maps agree on one machine at most.
    #[must_use]
    pub fn is_network(self) -> bool {
        matches!(self, Self::Ceph | Self::Gfs2 | Self::Nfs | Self::NineP | Self::Ocfs2 | Self::Smb)
    }

    /// Whether it lives in memory: nothing survives a restart.
    #[must_use]
    pub fn is_memory(self) -> bool {
        matches!(self, Self::Hugetlbfs | Self::Ramfs | Self::Tmpfs)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apfs => "APFS",
            Self::Bcachefs => "bcachefs",
            Self::Btrfs => "btrfs",
            Self::Ceph => "Ceph",
            Self::Ecryptfs => "eCryptfs",
            Self::Erofs => "EROFS",
            Self::Exfat => "exFAT",
            Self::Ext => "ext2/3/4",
            Self::F2fs => "F2FS",
            Self::Fat => "FAT",
            Self::Fuse => "FUSE",
            Self::Gfs2 => "GFS2",
            Self::Hfs => "HFS",
            Self::Hugetlbfs => "hugetlbfs",
            Self::Iso9660 => "ISO 9660",
            Self::Nfs => "NFS",
            Self::NineP => "9p",
            Self::Ntfs => "NTFS",
            Self::Ocfs2 => "OCFS2",
            Self::Overlay => "overlayfs",
            Self::Ramfs => "ramfs",
            Self::Smb => "SMB",
            Self::Squashfs => "SquashFS",
            Self::Tmpfs => "tmpfs",
            Self::Xfs => "XFS",
            Self::Zfs => "ZFS",
            Self::Kernel => "a file system of the kernel's own",
            Self::Other(magic) => return write!(f, "unknown ({magic:#x})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_for_one_kind_and_others_keep_their_number() {
        for (at, (magic, kind)) in MAGIC.iter().enumerate() {
            assert_eq!(Kind::of_magic(*magic), *kind, "{magic:#x} is there twice");
            assert!(MAGIC[..at].iter().all(|(other, _)| other != magic));
        }
        assert_eq!(Kind::of_magic(0x1234), Kind::Other(0x1234));
        assert_eq!(Kind::Other(0x1234).to_string(), "unknown (0x1234)");
        assert_eq!(Kind::of_name("NTFS"), Some(Kind::Ntfs));
        assert_eq!(Kind::of_name("macfuse"), Some(Kind::Fuse));
    }
}
