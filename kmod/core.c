// SPDX-License-Identifier: GPL-2.0
/*
 * k2u: one kernel buffer, handed to user space by every method there is.
 *
 * The device, its files and its ioctls. include/k2u.h is the contract.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "k2u_mod.h"
#include "version.h"

static unsigned long max_bytes;
module_param(max_bytes, ulong, 0444);
MODULE_PARM_DESC(
	max_bytes,
	"bound on the bytes of all buffers together (default 0: 1 GiB or a quarter of RAM, the smaller)");

static unsigned long default_bytes = 1UL << 20;
module_param(default_bytes, ulong, 0444);
MODULE_PARM_DESC(default_bytes,
		 "size of a buffer that nobody set up (default: 1 MiB)");

const struct k2u_method k2u_methods[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = { &k2u_method_##name, K2U_BACKING_##backings },
#include "methods.def"
#undef K2U_METHOD
};
const unsigned int k2u_nr_methods = ARRAY_SIZE(k2u_methods);

/*
 * Sets f's buffer up; -EBUSY if it has one. Where a signal comes, user space has
 * EINTR if a handler ran that wants it so. To say EINTR ourselves would be wrong
 * where signal_pending() means work of the kernel's own (TIF_NOTIFY_SIGNAL):
 * that of an io_uring, say, which is none of the caller's business.
 */
static int k2u_file_setup(struct k2u_file *f, const struct k2u_setup *setup)
{
	struct k2u_buffer *buf;
	int err = 0;

	if (mutex_lock_interruptible(&f->lock))
		return -ERESTARTSYS;
	if (f->buf) {
		err = -EBUSY;
		goto unlock;
	}
	buf = k2u_buffer_create(setup);
	if (IS_ERR(buf)) {
		err = PTR_ERR(buf);
		goto unlock;
	}
	/* Pairs with k2u_file_peek(). */
	smp_store_release(&f->buf, buf);
unlock:
	mutex_unlock(&f->lock);
	return err;
}

/* f's buffer, made with the defaults at its first use. */
struct k2u_buffer *k2u_file_buffer(struct k2u_file *f)
{
	struct k2u_buffer *buf = k2u_file_peek(f);
	int err;

	if (likely(buf))
		return buf;

	err = k2u_file_setup(f, &(struct k2u_setup){
					.size = default_bytes,
					.backing = K2U_BACKING_VMALLOC,
					.node = K2U_NODE_ANY,
				});
	if (err && err != -EBUSY)
		return ERR_PTR(err);
	return k2u_file_peek(f);
}

void k2u_vma_open(struct vm_area_struct *vma)
{
	struct k2u_file *f = vma->vm_private_data;

	atomic_inc(&f->vmas);
}

void k2u_vma_close(struct vm_area_struct *vma)
{
	struct k2u_file *f = vma->vm_private_data;

	atomic_dec(&f->vmas);
}

/* No ->fault: touching what a method did not map is SIGBUS. */
const struct vm_operations_struct k2u_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
};

static int k2u_mmap(struct file *file, struct vm_area_struct *vma)
{
	const unsigned long id = k2u_pgoff_method(vma->vm_pgoff);
	const unsigned long first = k2u_pgoff_page(vma->vm_pgoff);
	struct k2u_file *f = file->private_data;
	const struct k2u_method *method;
	const struct k2u_buffer *buf;
	int err;

	if (id >= k2u_nr_methods)
		return -EINVAL;
	method = &k2u_methods[id];
	if (!method->ops->mmap)
		return -EOPNOTSUPP;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	/* VM_SHARED is clear for a shared mapping of a read-only file. */
	if (method->ops->shared_only && !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;

	buf = k2u_file_buffer(f);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (!(method->backings & buf->backing))
		return -EOPNOTSUPP;
	if (first >= buf->nr_pages || vma_pages(vma) > buf->nr_pages - first)
		return -EINVAL;

	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	k2u_spin(id);
	vma->vm_page_prot = k2u_cache_prot(buf->cache, vma->vm_page_prot);
	err = method->ops->mmap(buf, vma, first);
	if (err)
		return err;

	/* Only now: a mapping that failed is not closed. */
	vma->vm_private_data = f;
	vma->vm_ops = method->ops->vm_ops ?: &k2u_vm_ops;
	k2u_vma_open(vma);
	return 0;
}

static loff_t k2u_llseek(struct file *file, loff_t offset, int whence)
{
	const struct k2u_buffer *buf = k2u_file_buffer(file->private_data);

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	return fixed_size_llseek(file, offset, whence, buf->size);
}

static long k2u_ioctl_setup(struct file *file, void __user *uarg)
{
	struct k2u_setup arg;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) || (arg.flags & ~K2U_SETUP_FILL))
		return -EINVAL;
	return k2u_file_setup(file->private_data, &arg);
}

static long k2u_ioctl_fill(struct file *file, void __user *uarg)
{
	struct k2u_buffer *buf;
	struct k2u_fill arg;

	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg))
		return -EINVAL;

	buf = k2u_file_buffer(file->private_data);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	return k2u_buffer_fill(buf, arg.seed);
}

static long k2u_ioctl_checksum(struct file *file, void __user *uarg)
{
	struct k2u_checksum arg;
	struct k2u_buffer *buf;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) || arg.offset % sizeof(u64))
		return -EINVAL;

	buf = k2u_file_buffer(file->private_data);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (arg.offset > buf->size || arg.size > buf->size - arg.offset)
		return -EINVAL;
	err = k2u_buffer_hash(buf, arg.offset, arg.size, &arg.hash);
	if (err)
		return err;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long k2u_ioctl_counters(struct file *file, void __user *uarg)
{
	struct k2u_file *f = file->private_data;
	const struct k2u_buffer *buf = k2u_file_peek(f);
	struct k2u_stats sum = {};
	struct k2u_counters arg;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg))
		return -EINVAL;

	if (buf)
		k2u_buffer_stats(buf, &sum);
	arg.faults = sum.faults;
	arg.mapped_pages = sum.mapped_pages;
	arg.read_bytes = sum.read_bytes;
	arg.written_bytes = sum.written_bytes;
	arg.vmas = atomic_read(&f->vmas);
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long k2u_ioctl_inspect(struct file *file, void __user *uarg)
{
	struct k2u_inspect arg;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg))
		return -EINVAL;
	err = k2u_inspect(file, &arg);
	if (err)
		return err;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long k2u_ioctl_info(struct file *file, void __user *uarg)
{
	struct k2u_file *f = file->private_data;
	const struct k2u_buffer *buf = k2u_file_peek(f);
	struct k2u_info arg;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg))
		return -EINVAL;

	arg = (struct k2u_info){
		.abi_version = K2U_ABI_VERSION,
		.methods = k2u_nr_methods,
		.backings = K2U_BACKINGS & ~k2u_backings_absent,
		.page_size = PAGE_SIZE,
		.max_bytes = (u64)k2u_max_pages << PAGE_SHIFT,
		.used_bytes = k2u_buffer_used(),
		.max_contig_bytes = min_t(u64, (u64)k2u_max_pages << PAGE_SHIFT,
					  KMALLOC_MAX_SIZE),
		.default_bytes = default_bytes,
		.pmd_size = PMD_SIZE,
		.node = K2U_NODE_ANY,
		.flags = (K2U_GFP_ACCOUNT ? K2U_INFO_ACCOUNTED : 0) |
			 (K2U_PMD_OF_PFN ? K2U_INFO_PMD_PFN : 0),
		.version = K2U_VERSION,
		.caches = k2u_caches,
	};
	if (buf) {
		arg.size = buf->size;
		arg.backing = buf->backing;
		arg.cache = buf->cache;
		arg.node = page_to_nid(k2u_buffer_find(buf, 0));
	}
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long k2u_ioctl_copy(struct file *file, void __user *uarg)
{
	const struct k2u_method *method;
	const struct k2u_buffer *buf;
	struct k2u_copy arg;

	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) || arg.flags || arg.method >= k2u_nr_methods)
		return -EINVAL;
	method = &k2u_methods[arg.method];
	if (!method->ops->copy)
		return -EOPNOTSUPP;

	buf = k2u_file_buffer(file->private_data);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (!arg.size || arg.offset >= buf->size)
		return 0;
	k2u_spin(arg.method);
	return method->ops->copy(buf, arg.offset, u64_to_user_ptr(arg.addr),
				 min3(arg.size, buf->size - arg.offset,
				      (u64)MAX_RW_COUNT));
}

static long k2u_ioctl_method(struct file *file, void __user *uarg)
{
	const struct k2u_method *method;
	struct k2u_method_info arg;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) || arg.method >= k2u_nr_methods)
		return -EINVAL;

	method = &k2u_methods[arg.method];
	arg = (struct k2u_method_info){ .method = arg.method };
	if (method->ops->absent)
		strscpy(arg.absent, method->ops->absent, sizeof(arg.absent));
	else
		arg.backings = method->backings & ~k2u_backings_absent;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long k2u_ioctl_export(struct file *file, void __user *uarg)
{
	const struct k2u_buffer *buf;
	struct k2u_export arg;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) || arg.flags)
		return -EINVAL;

	buf = k2u_file_buffer(file->private_data);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (!(k2u_methods[K2U_METHOD_dmabuf].backings & buf->backing))
		return -EOPNOTSUPP;
	return k2u_dmabuf_export(file, buf);
}

static long k2u_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case K2U_IOC_SETUP:
		return k2u_ioctl_setup(file, uarg);
	case K2U_IOC_FILL:
		return k2u_ioctl_fill(file, uarg);
	case K2U_IOC_CHECKSUM:
		return k2u_ioctl_checksum(file, uarg);
	case K2U_IOC_COUNTERS:
		return k2u_ioctl_counters(file, uarg);
	case K2U_IOC_INSPECT:
		return k2u_ioctl_inspect(file, uarg);
	case K2U_IOC_INFO:
		return k2u_ioctl_info(file, uarg);
	case K2U_IOC_COPY:
		return k2u_ioctl_copy(file, uarg);
	case K2U_IOC_METHOD:
		return k2u_ioctl_method(file, uarg);
	case K2U_IOC_EXPORT:
		return k2u_ioctl_export(file, uarg);
	case K2U_IOC_STREAM:
		return k2u_stream_open(file, uarg);
	default:
		return -ENOTTY;
	}
}

static int k2u_open(struct inode *inode, struct file *file)
{
	struct k2u_file *f = kzalloc(sizeof(*f), K2U_GFP | __GFP_ACCOUNT);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	file->private_data = f;
	/* Reads and writes wait for nothing but the first buffer, and say so. */
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

static int k2u_release(struct inode *inode, struct file *file)
{
	struct k2u_file *f = file->private_data;

	k2u_buffer_destroy(f->buf);
	mutex_destroy(&f->lock);
	kfree(f);
	return 0;
}

static const struct file_operations k2u_fops = {
	.owner = THIS_MODULE,
	.open = k2u_open,
	.release = k2u_release,
	.llseek = k2u_llseek,
	.read_iter = k2u_read_iter,
	.write_iter = k2u_write_iter,
	.splice_read = k2u_splice_read,
	.mmap = k2u_mmap,
	/* For PMD leaves (5.18). One of our own would keep mremap() from moving two VMAs (7.2). */
	.get_unmapped_area = thp_get_unmapped_area,
	.unlocked_ioctl = k2u_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	K2U_URING_CMD(k2u_uring_cmd)
};

static struct miscdevice k2u_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "k2u",
	.fops = &k2u_fops,
	.mode = 0600,
};

static int __init k2u_init(void)
{
	unsigned long ram = totalram_pages();
	int err;

	k2u_max_pages = min(1UL << (30 - PAGE_SHIFT), ram / 4);
	if (max_bytes) {
		k2u_max_pages = max_bytes >> PAGE_SHIFT;
		if (!k2u_max_pages || k2u_max_pages > BIT(K2U_PGOFF_BITS)) {
			pr_err("max_bytes=%lu must be 0 or in %lu..%lu\n",
			       max_bytes, PAGE_SIZE, BIT(K2U_MMAP_SHIFT));
			return -EINVAL;
		}
	}
	if (!default_bytes || default_bytes > k2u_max_pages << PAGE_SHIFT) {
		pr_err("default_bytes=%lu must be in 1..%lu (max_bytes)\n",
		       default_bytes, k2u_max_pages << PAGE_SHIFT);
		return -EINVAL;
	}
	err = k2u_spin_init();
	if (err)
		return err;
	err = misc_register(&k2u_misc);
	if (!err)
		k2u_dma_init(k2u_misc.this_device);
	return err;
}
module_init(k2u_init);

static void __exit k2u_exit(void)
{
	misc_deregister(&k2u_misc);
}
module_exit(k2u_exit);

MODULE_DESCRIPTION(
	"One kernel buffer through every way to hand it to user space");
MODULE_AUTHOR("The k2u project");
MODULE_VERSION(K2U_VERSION);
MODULE_LICENSE("GPL");
